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

// The names in folders that are being listed, so that a long listing reads its folder once. A name
// keeps its position whatever other names come and go: a listing may go on in one that was made
// anew, by this process or the next. It owns the names, and is bounded. Thread-safe.
class FolderListings {
 public:
  using Names = std::shared_ptr<const std::vector<NameAt>>;

  // nullptr when the listing is not there any more.
  Names Find(uint64_t slot_id);
  // Replaces the listing that there is.
  Names Add(uint64_t slot_id, std::vector<std::string> names);

  // Forgets listings that nobody has gone on with since the last call but one. To be called about
  // once a second.
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
