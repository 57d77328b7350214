#include "archive/direct_reader.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "archive/page_cache.h"
#include "util/progress.h"
#include "util/thread_memory.h"

namespace skopsfs::archive {
namespace {

constexpr size_t kLargeRead = size_t{256} << 10;  // bytes; what is tried for more of them must pay
constexpr int kTrustedToBeCached = 16;            // jumps

// In requests, the largest of a run. What the kernel asks for at once is not further apart than
// kNear, and a few such windows may lie side by side by chance.
constexpr uint64_t kNear = 8;
constexpr uint64_t kLong = 32;

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

SequentialReadDetector::Pattern SequentialReadDetector::Note(uint64_t offset, uint64_t size) {
  const util::MutexLock lock(mutex_);
  auto run = std::find_if(runs_.begin(), runs_.end(), [&](const Run& known) {
    const uint64_t near = kNear * std::max(size, known.request);
    return known.length > 0 && offset + near >= known.end && offset <= known.end + near;
  });
  const bool is_new = run == runs_.end();
  if (is_new) {
    run = std::min_element(runs_.begin(), runs_.end(),
                           [](const Run& a, const Run& b) { return a.used < b.used; });
    *run = {};
  }
  const uint64_t end = std::max(run->end, offset + size);
  run->length += run->length == 0 ? size : end - run->end;  // what is read again is no progress
  run->end = end;
  run->request = std::max(run->request, size);
  run->used = ++reads_;
  if (is_new) return Pattern::kRandom;
  return run->length > kLong * run->request ? Pattern::kLongRun : Pattern::kShortRun;
}

DirectReader::Part DirectReader::Read(uint64_t offset, std::span<std::byte> out) {
  if (!IsToBeReadDirectly(offset, out.size())) return {};
  const DirectFile* const file = File();
  if (file == nullptr) return {};
  if (out.size() >= kLargeRead) return ReadBlocks(*file, offset, out);
  return {.end = file->ReadAround(offset, out) ? out.size() : 0};
}

// Whether it jumps, into what is not in the page cache.
bool DirectReader::IsToBeReadDirectly(uint64_t offset, size_t size) {
  using Pattern = SequentialReadDetector::Pattern;
  const auto pattern = detector_.Note(offset, size);
  const bool jumps =
      pattern == Pattern::kRandom || (pattern == Pattern::kShortRun && size >= kLargeRead);
  if (!jumps) return false;
  // Where it was found there, it will be there the next time, or else be read in vain for once.
  if (found_cached_.load(std::memory_order_relaxed) > 0) {
    found_cached_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  if (!IsInPageCache(fd_, offset, size)) return true;
  found_cached_.store(kTrustedToBeCached, std::memory_order_relaxed);
  return false;
}

const DirectFile* DirectReader::File() {
  const util::MutexLock lock(mutex_);
  if (!is_possible_) is_possible_ = DirectFile::IsPossible(fd_);
  if (*is_possible_ && !file_) file_ = DirectFile::Open(fd_);
  return file_.get();
}

// All but the ends, which others read too when they read what lies beside it.
DirectReader::Part DirectReader::ReadBlocks(const DirectFile& file, uint64_t offset,
                                            std::span<std::byte> out) const {
  constexpr auto kBlock = DirectFile::kBlock;
  const auto address = reinterpret_cast<uintptr_t>(out.data());
  if (address % kBlock != offset % kBlock) return {};
  const size_t begin = (kBlock - offset % kBlock) % kBlock;
  const size_t blocks = (out.size() - begin) / kBlock * kBlock;
  const size_t end = begin + blocks;
  // Fetched while the disk is at the rest.
  AskFor(offset, begin);
  AskFor(offset + end, out.size() - end);
  if (!file.Read(offset + begin, out.subspan(begin, blocks))) return {};
  return {begin, end};
}

void DirectReader::AskFor(uint64_t offset, size_t size) const {
  if (size == 0) return;
  const util::Waiting source(util::WaitsFor::kSource);
  posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(size), POSIX_FADV_WILLNEED);
}

}  // namespace skopsfs::archive
