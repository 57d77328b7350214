#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "util/mutex.h"

namespace skopsfs::fs {

// Positions of the entries of every directory: ".", "..", then its children.
inline constexpr uint64_t kFirstChild = 2;

// A name in a folder that is being listed.
struct NameAt {
  uint64_t position;
  std::string name;
};

// The names in folders that are being listed, so that a long listing looks at its folder once. They
// are at positions that are theirs whatever other names come and go: who goes on with a listing may
// find it made anew, by this process or another one. Bounded. Thread-safe.
class FolderListings {
 public:
  using Names = std::shared_ptr<const std::vector<NameAt>>;

  // nullptr when there is none, or no more.
  Names Find(uint64_t slot_id);
  // Replaces the one that there is.
  Names Add(uint64_t slot_id, std::vector<std::string> names);

  // Forgets those that nobody has gone on with since the last call but one. To be called about once
  // a second.
  void Tidy();

 private:
  static constexpr size_t kMostNames = 1'000'000;

  struct Known {
    Names names;
    uint64_t used = 0;
  };
  util::Mutex mutex_;  // no other one is taken while it is held
  std::map<uint64_t, Known> known_ GUARDED_BY(mutex_);
  size_t names_ GUARDED_BY(mutex_) = 0;  // of all
  uint64_t ticks_ GUARDED_BY(mutex_) = 0;
};

}  // namespace skopsfs::fs
