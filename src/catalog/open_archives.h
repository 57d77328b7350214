#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "catalog/slot.h"
#include "metrics/counters.h"
#include "util/long_mutex.h"

namespace skopsfs::catalog {

// Keeps the descriptors and the index memory of open archives within bounds. What no handle holds
// is closed, least recently used first; the next use opens it again. Thread-safe.
class OpenArchives {
 public:
  struct Budget {
    size_t descriptors = 1000;
    size_t idle_index_bytes = size_t{64} << 20;  // beyond which indexes that nobody uses go
    size_t index_bytes = size_t{1} << 30;        // of all
    bool keep_pages = false;  // of archives in the page cache, see archive::ArchiveFile
    metrics::Counters* counters = nullptr;  // of what is read of archives; may be none
  };

  explicit OpenArchives(const Budget& budget) : budget_(budget) {}

  // Wraps a descriptor that counts against the budget for as long as anyone holds the file. Throws
  // util::Error(ENFILE) when all of the budget is held by open handles.
  std::shared_ptr<const archive::ArchiveFile> Adopt(util::UniqueFd fd, const struct stat& st,
                                                    const Slot& opening);

  // The same for one that was open in another process already: it is not refused.
  std::shared_ptr<const archive::ArchiveFile> AdoptInherited(util::UniqueFd fd,
                                                             const struct stat& st);

  // Of a directory of that many bytes is made so much while it is read that they take turns.
  static bool IsHuge(uint64_t bytes) { return bytes > kHuge; }

  // The turn of one that is huge, for as long as what is returned lives. Others never wait.
  std::unique_lock<util::LongMutex> WaitForTurn(uint64_t bytes);

  // Counts an archive::ArchiveIndex or a by_name::NameTree against the budget for as long as anyone
  // holds it. Throws util::Error(ENOMEM) when those in use leave no room for it.
  template <typename Index>
  std::shared_ptr<const Index> Adopt(std::unique_ptr<Index> index, const Slot& opening);

  // Notes that `slot` is used, so that it is among the last to be closed.
  void Used(const std::shared_ptr<Slot>& slot);

  // To be called about once a second: closes files that nobody holds and that were not used since
  // the last call but one, and drops the archive pages of files that have become quiet.
  void Tidy();

  // Drops all pages of all archives, before the process leaves without closing anything.
  void DropLastPages();

  const Budget& budget() const { return budget_; }
  size_t open_files() const { return in_use_->files; }
  size_t index_bytes() const { return in_use_->index_bytes; }

 private:
  static constexpr uint64_t kHuge = uint64_t{1} << 20;
  enum class What { kFile, kIndex };

  std::vector<std::shared_ptr<Slot>> Slots();

  // Lets go of the least recently used files or indexes until `enough()`; never those of `except`.
  template <typename Enough>
  void Evict(What what, const Slot* except, const Enough& enough);

  const Budget budget_;
  // Shared with the deleters of files and indexes, which may outlive this object.
  struct InUse {
    std::atomic<size_t> files = 0;
    std::atomic<size_t> index_bytes = 0;
  };
  const std::shared_ptr<InUse> in_use_ = std::make_shared<InUse>();
  std::atomic<uint64_t> uses_ = 0;
  util::LongMutex reading_huge_;
  util::LongMutex adopting_;  // one at a time: who has made room is the one to use it
  std::mutex mutex_;          // guards what follows
  uint64_t uses_at_tidy_ = 0;
  uint64_t uses_at_tidy_before_ = 0;
  std::unordered_map<uint64_t, std::weak_ptr<Slot>> slots_;
};

}  // namespace skopsfs::catalog
