#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "util/mutex.h"
#include "util/unique_fd.h"

namespace skopsfs::archive {

// A file once more, for reads straight from its disk, past the page cache. They take half of the
// processor's time and bring in exactly what is asked for, but nothing ahead. Thread-safe.
class DirectFile {
 public:
  // Offsets, sizes and addresses are multiples of this. Disks may allow less, and are slow at it.
  static constexpr size_t kBlock = 4096;

  // Whether the filesystem of the file behind `fd` can do this and says so: none before Linux 6.1,
  // none without a disk of its own, nor overlayfs, whose page cache is elsewhere.
  static bool IsPossible(int fd);

  // Opens the file behind `fd` again. nullptr when that fails, or when a hundred files are open so
  // already (or an eighth of the descriptors that there may be).
  static std::unique_ptr<DirectFile> Open(int fd);

  ~DirectFile();
  DirectFile(const DirectFile&) = delete;
  DirectFile& operator=(const DirectFile&) = delete;

  // Fills `out`; false when it could not, for whatever reason.
  bool Read(uint64_t offset, std::span<std::byte> out) const;

  // The same for any range of at most kMostAround bytes, through memory of the thread's own. Not
  // for the last block of a file.
  bool ReadAround(uint64_t offset, std::span<std::byte> out) const;
  static constexpr size_t kMostAround = size_t{256} << 10;

 private:
  DirectFile();

  util::UniqueFd fd_;
};

// Tells reads of a file that go on where others ended from those that jump: the kernel's read-ahead
// serves the first, and for the second brings in what nobody asked for. Knows several readers
// apart, and what the kernel asks for at once comes in any order. Thread-safe.
class SequentialReadDetector {
 public:
  enum class Pattern {
    kRandom,    // nothing beside it was read of late
    kShortRun,  // it goes on, but what the kernel reads ahead on a mount for one page is as long
    kLongRun,
  };

  // Notes a read.
  Pattern Note(uint64_t offset, uint64_t size);

 private:
  struct Run {
    uint64_t end = 0;      // where it goes on
    uint64_t length = 0;   // bytes; 0: none
    uint64_t request = 0;  // bytes of the largest
    uint64_t used = 0;     // when: the number of the last read
  };

  util::Mutex mutex_;
  std::array<Run, 16> runs_ GUARDED_BY(mutex_);
  uint64_t reads_ GUARDED_BY(mutex_) = 0;
};

// Reads what jumps past the page cache of a file, where that is possible and the bytes are not in
// the page cache already. Does not own the descriptor. Thread-safe.
class DirectReader {
 public:
  explicit DirectReader(int fd) : fd_(fd) {}

  struct Part {
    size_t begin = 0;
    size_t end = 0;
  };

  // Takes note of a read, and does the part of it that is better done past the page cache: returns
  // which of `out` has been filled, none of it if it is empty.
  Part Read(uint64_t offset, std::span<std::byte> out);

 private:
  bool IsToBeReadDirectly(uint64_t offset, size_t size);
  const DirectFile* File();
  void AskFor(uint64_t offset, size_t size) const;
  Part ReadBlocks(const DirectFile& file, uint64_t offset, std::span<std::byte> out) const;

  const int fd_;
  SequentialReadDetector detector_;
  std::atomic<int> found_cached_ = 0;  // for how many jumps not to look again
  util::LongMutex mutex_;
  std::optional<bool> is_possible_ GUARDED_BY(mutex_);
  std::unique_ptr<const DirectFile> file_ GUARDED_BY(mutex_);  // stays once it is there
};

}  // namespace skopsfs::archive
