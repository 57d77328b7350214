#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "archive/archive_file.h"
#include "source/source.h"
#include "util/mutex.h"

namespace skopsfs::catalog {

// The names whose archive was replaced between their look-up and the use of what was found, in the
// last second or two. The kernel, told ESTALE, looks such a name up once more. If that archive is
// replaced as well, its users get ESTALE. So the archive that is found then is kept open, and is
// used although it has been replaced, too. It owns those descriptors, which are few. Thread-safe.
class ReplacedNames {
 public:
  // `path`, relative to the source, is such a name.
  void Add(const std::string& path) {
    const util::MutexLock lock(mutex_);
    auto& names = periods_[0].names;
    if (names.size() < kMostNames) names.insert(path);
  }
  bool Contains(const std::string& path) const;

  // Whether `file`, opened as what `path` led to, still is that. If not, the name becomes such a
  // name. If it was one before, a file with another change time and nothing else will do: each of
  // its members is proven before it is read.
  bool IsVersion(const std::string& path, const archive::ArchiveFile& file);

  // Keeps what was found at `path` as the slot `slot_id`, if it is such a name.
  void Keep(const std::string& path, uint64_t slot_id, const source::Found& found);
  // nullptr when nothing is kept of that slot.
  std::shared_ptr<const source::Found> Kept(uint64_t slot_id) const;

  // Forgets what was there at the last call but one; to be called about once a second.
  void Tidy();

 private:
  static constexpr size_t kMostNames = 1000;
  static constexpr size_t kMostKept = 16;

  struct Period {
    std::set<std::string> names;
    std::deque<std::pair<uint64_t, std::shared_ptr<const source::Found>>> kept;  // the latest first
  };
  mutable util::Mutex mutex_;                         // no other one is taken while it is held
  std::array<Period, 2> periods_ GUARDED_BY(mutex_);  // this one and the one before
};

}  // namespace skopsfs::catalog
