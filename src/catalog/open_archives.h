#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <unordered_map>
#include <vector>

#include "catalog/slot.h"
#include "handover/counters.h"
#include "util/mutex.h"

namespace skopsfs::catalog {

// Keeps the descriptors and the memory of open archives within bounds. A file of which nothing was
// read is closed when there is no room, the least recently used one first. The next use opens it
// again. A file that was read is closed with its slot: whoever needs its room waits until the
// kernel has been asked to let go of it.
// It owns nothing: slots own their files. What it counts may outlive it. Thread-safe.
class OpenArchives {
 public:
  struct Budget {
    size_t descriptors = 1000;
    size_t idle_index_bytes = size_t{64} << 20;  // beyond which indexes that nobody uses go
    size_t index_bytes = size_t{1} << 30;        // of all
    bool keep_pages = false;  // of archives in the page cache, see archive::ArchiveFile
    handover::Counters* counters = nullptr;  // of what is read of archives; may be none
  };

  explicit OpenArchives(const Budget& budget) : budget_(budget) {}

  // Makes a file of a descriptor. It counts against the budget for as long as anyone holds it.
  // Waits for room. Throws util::Error(ENFILE) when all that is open was read and is in use.
  std::shared_ptr<const archive::ArchiveFile> Adopt(util::UniqueFd fd, const struct stat& st,
                                                    const Slot& opening);

  // The same for a file that another process had open already: it is not refused.
  std::shared_ptr<const archive::ArchiveFile> AdoptInherited(util::UniqueFd fd,
                                                             const struct stat& st);

  // --- for who has the kernel let go of archives ---

  // Waits for `period` or until somebody waits for room. Says whether somebody does.
  bool WaitForShortage(const std::stop_token& stop, std::chrono::milliseconds period);
  // The slots of files that were read, the least recently read first.
  std::vector<std::shared_ptr<Slot>> LeastRecentlyRead();
  // The kernel was asked to let go of the slot. If it is still there later, it is in use: many
  // others are asked for before its turn comes again.
  void WasAskedFor(Slot& slot) { slot.last_used = uses_ + 16 * budget_.descriptors; }
  // Waits for at most `time` until nobody waits for room any more. Says whether that is so.
  bool WaitForRoom(std::chrono::milliseconds time);
  // All have been asked for: whoever still waits gets no room.
  void NoRoomIsLeft();
  // Whether that was so a moment ago and nothing was closed since.
  bool WasInVain() {
    const util::MutexLock lock(room_->mutex);
    return std::chrono::steady_clock::now() < room_->in_vain_until;
  }

  // --- indexes ---

  // Whether reading a central directory of that many bytes takes much memory.
  static bool IsHuge(uint64_t bytes) { return bytes > kHuge; }

  // One huge directory is read at a time: others wait while what is returned lives.
  std::unique_lock<util::LongMutex> LockIfHuge(uint64_t bytes) {
    return IsHuge(bytes) ? std::unique_lock(reading_huge_) : std::unique_lock<util::LongMutex>();
  }

  // Counts an archive::ArchiveIndex, or what else was made of an archive, against the budget for as
  // long as anyone holds it. Throws util::Error(ENOMEM) when those in use leave no room for it.
  template <typename Index>
  std::shared_ptr<Index> Adopt(std::unique_ptr<Index> index, const Slot& opening) {
    const size_t bytes = index->memory_bytes();
    room_->index_bytes += bytes;
    std::shared_ptr<Index> adopted(index.release(), [room = room_, bytes](const Index* old) {
      delete old;
      room->index_bytes -= bytes;
    });
    MakeRoomForIndexes(opening);
    return adopted;
  }

  // --- use ---

  // `slot` is used, so it is among the last to be closed.
  void Used(const std::shared_ptr<Slot>& slot);
  // The same for a slot that was used since its file was opened.
  void UsedAgain(Slot& slot) {
    const uint64_t now = ++uses_;
    if (slot.last_used < now) slot.last_used = now;
  }

  // The slots that may be open.
  std::vector<std::shared_ptr<Slot>> Slots();

  // --- housekeeping ---

  // To be called about once a second. Drops the archive pages of files that have become quiet, and
  // closes files that nobody has read when they are too many. `store`, if any, keeps what it could
  // not keep before.
  void Tidy(DescriptorStore* store = nullptr);

  // Closes files that others let go of, for `period`, so that nobody else waits for the source.
  // To be called by one thread, again and again.
  void CloseFor(const std::stop_token& stop, std::chrono::milliseconds period);

  // Drops all pages of all archives before the process ends without closing anything.
  void DropLastPages();

  const Budget& budget() const { return budget_; }
  size_t open_files() const { return room_->files; }
  size_t index_bytes() const { return room_->index_bytes; }

 private:
  static constexpr uint64_t kHuge = uint64_t{1} << 20;
  static constexpr size_t kMostUnread = 1000;  // files

  // The same as Slots(), the least recently used first.
  std::vector<std::shared_ptr<Slot>> ByUse();
  void MakeRoomForIndexes(const Slot& opening);
  // Closes files that nobody has read until `enough` are left.
  void CloseUnread(size_t enough, const Slot* except);
  // Drops the least recently used indexes, and what was made of them, until `enough` bytes are
  // left; never those of `except`.
  void DropIndexes(size_t enough, const Slot* except);

  const Budget budget_;
  // Shared with the deleters of files and indexes, which may outlive this object.
  struct Room {
    using Time = std::chrono::steady_clock::time_point;

    std::atomic<size_t> files = 0;
    std::atomic<size_t> index_bytes = 0;
    util::Mutex mutex;  // no other one is taken while it is held
    std::condition_variable_any changed;
    size_t waiting GUARDED_BY(mutex) = 0;       // for a file to be closed
    size_t leaving GUARDED_BY(mutex) = 0;       // files that will be closed without anything more
    uint64_t rounds GUARDED_BY(mutex) = 0;      // of asking for all
    Time in_vain_until GUARDED_BY(mutex) = {};  // see WasInVain()
    bool has_closer GUARDED_BY(mutex) = false;
    // When the closer began with what it is at, if it is at something.
    Time busy_since GUARDED_BY(mutex) = Time::max();
    // Has room for all files.
    std::vector<const archive::ArchiveFile*> closing GUARDED_BY(mutex);

    size_t Staying() const REQUIRES(mutex) { return files - leaving; }
    void LetGo(const archive::ArchiveFile* file) noexcept;
    void Close(const archive::ArchiveFile* file) noexcept;
  };
  const std::shared_ptr<Room> room_ = std::make_shared<Room>();
  std::atomic<uint64_t> uses_ = 0;
  // While either is held, a slot is being opened: its WhileOpening() has begun.
  util::LongMutex reading_huge_;
  util::LongMutex adopting_;  // one at a time: who has made room is the one to use it
  // While it is held, the mutex of a slot is only tried, and slots may end.
  util::Mutex mutex_ ACQUIRED_AFTER(adopting_);
  std::unordered_map<uint64_t, std::weak_ptr<Slot>> slots_ GUARDED_BY(mutex_);
};

}  // namespace skopsfs::catalog
