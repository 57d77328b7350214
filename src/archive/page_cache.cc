#include "archive/page_cache.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>

namespace skopsfs::archive {
namespace {

constexpr uint64_t kSmallestWindow = uint64_t{8} << 20;
constexpr uint64_t kMostWindows = 16384;             // the file's size is a stranger's claim
constexpr int64_t kMostPending = int64_t{64} << 20;  // bytes

struct CacheStatRange {
  uint64_t offset;
  uint64_t size;  // bytes
};
struct CacheStat {  // pages
  uint64_t cached;
  uint64_t dirty;
  uint64_t in_writeback;
  uint64_t evicted;
  uint64_t recently_evicted;
};

}  // namespace

std::optional<uint64_t> BytesInPageCache(int fd, uint64_t offset, uint64_t size) {
  const CacheStatRange range{offset, size};
  CacheStat found{};
  if (syscall(kCacheStat, fd, &range, &found, 0) != 0) return std::nullopt;
  return found.cached * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

bool IsInPageCache(int fd, uint64_t offset, uint64_t size) {
  constexpr uint64_t kPart = 8;
  const auto found = BytesInPageCache(fd, offset, size);
  return !found || *found * kPart >= size;
}

PageDropper::PageDropper(int fd, uint64_t size, bool keep)
    : fd_(fd),
      size_(size),
      keep_(keep),
      window_(std::max(kSmallestWindow, std::bit_ceil(size / kMostWindows))),
      served_(std::make_unique<std::atomic<uint64_t>[]>(size / window_ + 1)) {}

void PageDropper::BeforeRead(size_t bytes) {
  was_read_.store(true, std::memory_order_relaxed);
  if (bytes == 0) return;
  has_pages_.store(true, std::memory_order_relaxed);
  const auto size = static_cast<int64_t>(bytes);
  if (pending_.fetch_add(size, std::memory_order_relaxed) > kMostPending) Drop();
}

void PageDropper::Served(uint64_t offset, size_t size) {
  if (keep_) return;
  const uint64_t end = offset + size;
  while (offset < end) {
    const uint64_t window = offset / window_;
    const uint64_t part = std::min(end, (window + 1) * window_) - offset;
    const uint64_t before = served_[window].fetch_add(part, std::memory_order_relaxed);
    if (before + part >= window_) {
      served_[window].store(0, std::memory_order_relaxed);
      // Less than nothing where they went past the page cache.
      const auto dropped = static_cast<int64_t>(window_);
      if (pending_.fetch_sub(dropped, std::memory_order_relaxed) < dropped) pending_ = 0;
      posix_fadvise(fd_, static_cast<off_t>(window * window_), static_cast<off_t>(window_),
                    POSIX_FADV_DONTNEED);
    }
    offset += part;
  }
}

void PageDropper::Drop() {
  if (!keep_ && has_pages_.exchange(false, std::memory_order_relaxed)) {
    pending_.store(0, std::memory_order_relaxed);
    posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);
  }
}

bool PageDropper::DropLast() {
  if (keep_) return false;
  posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);
  return BytesInPageCache(fd_, 0, size_).value_or(0) > 0;
}

void PageDropper::DropIfQuiet() {
  if (!was_read_.exchange(false, std::memory_order_relaxed)) Drop();
}

}  // namespace skopsfs::archive
