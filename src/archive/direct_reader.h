#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "archive/direct_file.h"
#include "util/long_mutex.h"

namespace skopsfs::archive {

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
