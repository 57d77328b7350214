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

// Names whose archive was replaced just between the look at the name and the use of what was found,
// in the last second or two. The kernel, told ESTALE, looks such a name up once more; were that
// replaced as well, its users would get ESTALE. So what is found then is kept, to be opened
// although it has been replaced, too. Owns those descriptors, of which there are few. Thread-safe.
class ReplacedNames {
 public:
  // `path`, relative to the source, is such a name.
  void Add(const std::string& path);
  bool Contains(const std::string& path) const;

  // Whether `file`, opened as what `path` led to, still is that. If not, the name is now such a
  // one; if it was one before, a file that is whole but for its change time will do: each of its
  // members is proven before it is read.
  bool IsVersion(const std::string& path, const archive::ArchiveFile& file);

  // Keeps what was found at `path` as the slot `slot_id`, if it is such a name.
  void Keep(const std::string& path, uint64_t slot_id, const source::Found& found);
  // nullptr when nothing was kept of that slot, or no more.
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
