#include "worker/read_buffers.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#include "archive/direct_reader.h"

namespace skopsfs::worker {
namespace {

constexpr size_t kPage = archive::DirectFile::kBlock;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kEach = ReadBuffers::kMost + kPage;
// As many requests as the kernel makes at once for one reader of a disk that reads 16 MiB ahead.
constexpr size_t kKept = 16;

}  // namespace

std::span<std::byte> ReadBuffers::Buffer::At(size_t offset, size_t size) const {
  return {start_ + offset % kPage, size};
}

ReadBuffers::ReadBuffers() {
  constexpr size_t kSize = kKept * kEach + kHugePage;  // to begin where a huge page can
  void* memory = mmap(nullptr, kSize, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return;  // then all come from the heap
  kept_ = {static_cast<std::byte*>(memory), kSize};
  madvise(memory, kSize, MADV_HUGEPAGE);
  const auto past = reinterpret_cast<uintptr_t>(memory) % kHugePage;
  std::byte* const first = kept_.data() + (past == 0 ? 0 : kHugePage - past);
  free_.reserve(kKept);
  for (size_t i = kKept; i-- > 0;) free_.push_back(first + i * kEach);
}

ReadBuffers::~ReadBuffers() {
  if (!kept_.empty()) munmap(kept_.data(), kept_.size());
}

std::byte* ReadBuffers::Take() {
  {
    const util::MutexLock lock(mutex_);
    if (!free_.empty()) {
      std::byte* const start = free_.back();
      free_.pop_back();
      return start;
    }
  }
  return static_cast<std::byte*>(::operator new (kEach, std::align_val_t{kPage}));
}

void ReadBuffers::GiveBack(std::byte* start) noexcept {
  const bool is_kept = start >= kept_.data() && start < kept_.data() + kept_.size();
  if (!is_kept) return ::operator delete (start, std::align_val_t{kPage});
  const util::MutexLock lock(mutex_);
  free_.push_back(start);  // there is room: it was reserved
}

}  // namespace skopsfs::worker
