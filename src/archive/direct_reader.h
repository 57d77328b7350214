#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "archive/direct_file.h"
#include "archive/sequential_read_detector.h"
#include "util/long_mutex.h"

namespace skopsfs::archive {

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
