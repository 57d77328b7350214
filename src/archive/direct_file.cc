#include "archive/direct_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>

namespace skopsfs::archive {
namespace {

constexpr int kMostOpen = 100;  // of the descriptors that are not counted, see DescriptorBudget()
std::atomic<int> open_files = 0;

// Since Linux 6.5; not in the headers of Debian 12.
constexpr long kCacheStat = 451;  // NOLINT(google-runtime-int): as syscall() wants it
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

bool CanReadBlocks(int fd) {
  struct statx st {};
  return statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) == 0 &&
         (st.stx_mask & STATX_DIOALIGN) != 0 && st.stx_dio_mem_align > 0 &&
         DirectFile::kBlock % st.stx_dio_mem_align == 0 && st.stx_dio_offset_align > 0 &&
         DirectFile::kBlock % st.stx_dio_offset_align == 0;
}

}  // namespace

std::unique_ptr<DirectFile> DirectFile::Open(int fd) {
  if (!CanReadBlocks(fd)) return nullptr;
  if (++open_files <= kMostOpen) {
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    util::UniqueFd again(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT));
    if (again) return std::unique_ptr<DirectFile>(new DirectFile(std::move(again)));
  }
  --open_files;
  return nullptr;
}

DirectFile::~DirectFile() { --open_files; }

bool DirectFile::Read(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || static_cast<size_t>(got) % kBlock != 0) return false;
    out = out.subspan(static_cast<size_t>(got));
    offset += static_cast<size_t>(got);
  }
  return true;
}

bool IsInPageCache(int fd, uint64_t offset, uint64_t size) {
  const CacheStatRange range{offset, size};
  CacheStat found{};
  if (syscall(kCacheStat, fd, &range, &found, 0) != 0) return true;
  constexpr uint64_t kPart = 8;
  return found.cached * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) * kPart >= size;
}

}  // namespace skopsfs::archive
