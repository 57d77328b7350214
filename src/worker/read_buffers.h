#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "util/mutex.h"

namespace skopsfs::worker {

// Memory for answers to large reads. It lies in huge pages where there are any, since the kernel
// works on each page of it. It owns a few buffers. Those that are needed beyond them come from the
// heap, and go back to it. Thread-safe.
class ReadBuffers {
 public:
  static constexpr size_t kMost = size_t{1} << 20;  // bytes, of one answer

  // One of them, given back when this goes. For one thread.
  class Buffer {
   public:
    // Throws std::bad_alloc.
    explicit Buffer(ReadBuffers& buffers) : buffers_(buffers), start_(buffers.Take()) {}
    ~Buffer() { buffers_.GiveBack(start_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    // `size` bytes, at most kMost. They begin as far into a block of archive::DirectFile::kBlock as
    // `offset` does in a file.
    std::span<std::byte> At(size_t offset, size_t size) const;

   private:
    ReadBuffers& buffers_;
    std::byte* const start_;
  };

  ReadBuffers();
  ~ReadBuffers();
  ReadBuffers(const ReadBuffers&) = delete;
  ReadBuffers& operator=(const ReadBuffers&) = delete;

 private:
  std::byte* Take();
  void GiveBack(std::byte* start) noexcept;

  std::span<std::byte> kept_;  // all of those that are kept
  util::Mutex mutex_;          // taken alone
  // The one that was used last, and is in the caches, at the end.
  std::vector<std::byte*> free_ GUARDED_BY(mutex_);
};

}  // namespace skopsfs::worker
