#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
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
    auto& known = names_[name.node.number()];
    if (known.name.empty()) known = std::move(name);
    if (names_.size() > kMost) names_.erase(names_.begin());
  }

  // The same for one that may be of an old version: who keeps house finds out.
  void AddClosed(const fs::StaleName& name) {
    const std::lock_guard lock(mutex_);
    if (closed_.size() < kMost) closed_.try_emplace(name.node.number(), name);
  }
  std::map<uint64_t, fs::StaleName> TakeClosed() {
    const std::lock_guard lock(mutex_);
    return std::exchange(closed_, {});
  }

  // Those that are `known` to the kernel; the others are forgotten.
  template <typename IsKnown>
  std::vector<fs::StaleName> Known(const IsKnown& is_known) {
    const std::lock_guard lock(mutex_);
    std::erase_if(names_, [&](const auto& item) { return !is_known(item.second.node); });
    std::vector<fs::StaleName> known;
    known.reserve(names_.size());
    for (const auto& [node, name] : names_) known.push_back(name);
    return known;
  }

 private:
  static constexpr size_t kMost = 10'000;

  std::mutex mutex_;
  std::map<uint64_t, fs::StaleName> names_;  // by node, so those of the oldest slots first
  std::map<uint64_t, fs::StaleName> closed_;
};

}  // namespace skopsfs::fuse
