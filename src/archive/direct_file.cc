#include "archive/direct_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>
#include <utility>

#include "util/progress.h"
#include "util/thread_memory.h"

namespace skopsfs::archive {
namespace {

std::atomic<int> open_files = 0;

// Of those that are not counted by whoever bounds the number of open archives.
int MostOpen() {
  constexpr rlim_t kMost = 100;
  constexpr rlim_t kPart = 8;
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0
             ? static_cast<int>(std::min(kMost, limit.rlim_cur / kPart))
             : 0;
}

}  // namespace

bool DirectFile::IsPossible(int fd) {
  const util::Waiting source(util::WaitsFor::kSource);
  struct statfs filesystem {};
  struct statx st {};
  return fstatfs(fd, &filesystem) == 0 && filesystem.f_type != OVERLAYFS_SUPER_MAGIC &&
         statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) == 0 &&
         (st.stx_mask & STATX_DIOALIGN) != 0 && st.stx_dio_mem_align > 0 &&
         kBlock % st.stx_dio_mem_align == 0 && st.stx_dio_offset_align > 0 &&
         kBlock % st.stx_dio_offset_align == 0;
}

DirectFile::DirectFile() { ++open_files; }

DirectFile::~DirectFile() { --open_files; }

std::unique_ptr<DirectFile> DirectFile::Open(int fd) {
  static const int most = MostOpen();
  std::unique_ptr<DirectFile> file(new DirectFile());
  if (open_files > most) return nullptr;
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const util::Waiting source(util::WaitsFor::kSource);
  file->fd_.Reset(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT));
  return file->fd_ ? std::move(file) : nullptr;
}

bool DirectFile::Read(uint64_t offset, std::span<std::byte> out) const {
  const util::Waiting source(util::WaitsFor::kSource);
  while (!out.empty()) {
    const ssize_t got = pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || static_cast<size_t>(got) % kBlock != 0) return false;
    out = out.subspan(static_cast<size_t>(got));
    offset += static_cast<size_t>(got);
  }
  return true;
}

bool DirectFile::ReadAround(uint64_t offset, std::span<std::byte> out) const {
  static_assert(kBlock == util::ThreadMemory::kBlock);
  static const util::ThreadMemory of_thread(kMostAround + 2 * kBlock);
  std::byte* const memory = of_thread.Get();
  if (memory == nullptr || out.size() > kMostAround) return false;
  const size_t before = offset % kBlock;
  const size_t size = (before + out.size() + kBlock - 1) / kBlock * kBlock;
  const std::span<std::byte> blocks(memory, size);
  if (!Read(offset - before, blocks)) return false;
  std::copy_n(blocks.begin() + static_cast<ptrdiff_t>(before), out.size(), out.begin());
  return true;
}

}  // namespace skopsfs::archive
