#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "fs/file_system.h"

namespace skopsfs::fuse {

// What was closed of old versions: the kernel is to drop it, and is told so again and again for as
// long as it knows the version, because it drops nothing that is in use. Bounded: of more, the
// oldest go when its memory is short. Thread-safe.
class StaleNames {
 public:
  void Add(fs::StaleName name) {
    const std::lock_guard lock(mutex_);
    names_.push_back(std::move(name));
    if (names_.size() > kMost) names_.pop_front();
  }

  // Those that are `known` to the kernel; the others are forgotten.
  template <typename IsKnown>
  std::vector<fs::StaleName> Known(const IsKnown& is_known) {
    const std::lock_guard lock(mutex_);
    std::erase_if(names_, [&](const auto& name) { return !is_known(name.node); });
    return {names_.begin(), names_.end()};
  }

 private:
  static constexpr size_t kMost = 1000;

  std::mutex mutex_;
  std::deque<fs::StaleName> names_;
};

}  // namespace skopsfs::fuse
