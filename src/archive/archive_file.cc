#include "archive/archive_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>

#include "util/error.h"
#include "util/progress.h"

namespace skopsfs::archive {

using util::ErrnoError;
using util::Error;

namespace {

constexpr size_t kRememberedMembers = 1024;       // before those nobody reads are looked for
constexpr size_t kLargeRead = size_t{256} << 10;  // bytes; what is tried for more of them must pay

constexpr int kTrustedToBeCached = 16;               // jumps
constexpr int64_t kMostPending = int64_t{64} << 20;  // bytes

}  // namespace

ArchiveFile::ArchiveFile(util::UniqueFd fd, const struct stat& opened, bool keep_pages,
                         handover::Counters* counters)
    : fd_(std::move(fd)),
      identity_(handover::IdentityOf(opened)),
      keep_pages_(keep_pages),
      counters_(counters),
      writers_(fd_.get()),
      window_(std::max(kSmallestWindow, std::bit_ceil(identity_.size / kMostWindows))),
      served_(std::make_unique<std::atomic<uint64_t>[]>(identity_.size / window_ + 1)) {}

ArchiveFile::~ArchiveFile() {
  DropPages();
  const util::Waiting source(util::WaitsFor::kSource);
  fd_.Reset();
}

size_t ArchiveFile::ReadAt(uint64_t offset, std::span<std::byte> out) const {
  out = zip::Within(size(), offset, out);
  if (!out.empty()) ReadThroughCache(offset, out);
  CountRead(out.size());
  return out.size();
}

size_t ArchiveFile::ReadForPages(uint64_t offset, std::span<std::byte> out) const {
  out = zip::Within(size(), offset, out);
  if (out.empty()) return 0;
  if (!IsToBeReadDirectly(offset, out.size()) || !ReadDirectly(offset, out)) {
    ReadThroughCache(offset, out);
  }
  CountRead(out.size());
  return out.size();
}

void ArchiveFile::CountRead(size_t bytes) const {
  if (counters_ != nullptr) counters_->ReadFromSource(bytes);
}

// Whether it jumps, into what is not in the page cache.
bool ArchiveFile::IsToBeReadDirectly(uint64_t offset, size_t size) const {
  if (keep_pages_) return false;
  const auto kind = runs_.Note(offset, size);
  const bool jumps =
      kind == ReadRuns::Kind::kJump || (kind == ReadRuns::Kind::kShortRun && size >= kLargeRead);
  if (!jumps) return false;
  // Where it was found there, it will be there the next time, or else be read in vain for once.
  if (found_cached_.load(std::memory_order_relaxed) > 0) {
    found_cached_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  if (!IsInPageCache(fd_.get(), offset, size)) return true;
  found_cached_.store(kTrustedToBeCached, std::memory_order_relaxed);
  return false;
}

const DirectFile* ArchiveFile::Direct() const {
  const std::lock_guard lock(direct_mutex_);
  if (!direct_is_possible_) direct_is_possible_ = DirectFile::IsPossible(fd_.get());
  if (*direct_is_possible_ && !direct_) direct_ = DirectFile::Open(fd_.get());
  return direct_.get();
}

// False when that is not possible.
bool ArchiveFile::ReadDirectly(uint64_t offset, std::span<std::byte> out) const {
  const DirectFile* const direct = Direct();
  if (direct == nullptr) return false;
  was_read_.store(true, std::memory_order_relaxed);
  if (out.size() < kLargeRead) return direct->ReadAround(offset, out);
  return ReadBlocksDirectly(*direct, offset, out);
}

// All but the ends, which others read too when they read what lies beside it.
bool ArchiveFile::ReadBlocksDirectly(const DirectFile& direct, uint64_t offset,
                                     std::span<std::byte> out) const {
  constexpr auto kBlock = DirectFile::kBlock;
  const auto address = reinterpret_cast<uintptr_t>(out.data());
  if (address % kBlock != offset % kBlock) return false;
  const size_t before = (kBlock - offset % kBlock) % kBlock;
  const size_t blocks = (out.size() - before) / kBlock * kBlock;
  const size_t after = out.size() - before - blocks;
  const uint64_t end = offset + before + blocks;
  // Fetched while the disk is at the rest.
  if (before > 0) AskFor(offset, before);
  if (after > 0) AskFor(end, after);
  if (!direct.Read(offset + before, out.subspan(before, blocks))) return false;
  ReadThroughCache(offset, out.first(before));
  ReadThroughCache(end, out.last(after));
  return true;
}

void ArchiveFile::AskFor(uint64_t offset, size_t size) const {
  const util::Waiting source(util::WaitsFor::kSource);
  posix_fadvise(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(size),
                POSIX_FADV_WILLNEED);
}

void ArchiveFile::ReadThroughCache(uint64_t offset, std::span<std::byte> out) const {
  has_pages_.store(true, std::memory_order_relaxed);
  was_read_.store(true, std::memory_order_relaxed);
  const auto size = static_cast<int64_t>(out.size());
  if (pending_.fetch_add(size, std::memory_order_relaxed) > kMostPending) DropPages();
  const util::Waiting source(util::WaitsFor::kSource);
  while (!out.empty()) {
    const ssize_t got = pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      failed_to_read_ = true;
      if (got < 0) throw ErrnoError("reading the archive");
      throw Error(EIO, "the archive became shorter");
    }
    out = out.subspan(static_cast<size_t>(got));
    offset += static_cast<size_t>(got);
  }
}

struct stat ArchiveFile::Stat() const {
  const util::Waiting source(util::WaitsFor::kSource);
  struct stat st;
  if (fstat(fd_.get(), &st) != 0) {
    failed_to_read_ = true;
    throw ErrnoError("looking at the archive");
  }
  return st;
}

// To be asked before the times are looked at: who has closed the file by now has set them, but
// tmpfs sets them after it has taken bytes away.
bool ArchiveFile::IsSeenWritten() const {
  return writers_.may_leave_times() && writers_.HaveItOpen();
}

std::optional<int64_t> ArchiveFile::CheckUnchanged() const {
  if (IsSeenWritten()) throw Error(EIO, "somebody has the archive open for writing");
  handover::Identity now = handover::IdentityOf(Stat());
  if (now == identity_) return std::nullopt;
  const int64_t changed = std::exchange(now.ctime, identity_.ctime);
  if (now != identity_) throw Error(EIO, "the archive was changed in place while it was open");
  return changed;
}

bool ArchiveFile::IsCurrent() const { return !IsSeenWritten() && HasItsTimes(); }

std::shared_ptr<MemberState> ArchiveFile::StateOf(const Extent& extent, DecoderPool& pool) const {
  const Place place(extent.within ? std::optional(extent.within->offset) : std::nullopt,
                    extent.offset);
  const std::lock_guard lock(members_mutex_);
  if (members_.size() >= kRememberedMembers) {
    std::erase_if(members_, [](const auto& item) { return item.second.expired(); });
  }
  auto& known = members_[place];
  auto state = known.lock();
  if (!state) known = state = std::make_shared<MemberState>(extent.size, pool);
  return state;
}

void ArchiveFile::DropPages() const {
  if (!keep_pages_ && has_pages_.exchange(false, std::memory_order_relaxed)) {
    pending_.store(0, std::memory_order_relaxed);
    posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
}

bool ArchiveFile::DropLastPages() const {
  if (keep_pages_) return false;
  posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);
  return BytesInPageCache(fd_.get(), 0, identity_.size).value_or(0) > 0;
}

void ArchiveFile::DropPagesIfQuiet() const {
  if (!was_read_.exchange(false, std::memory_order_relaxed)) DropPages();
}

void ArchiveFile::Served(uint64_t offset, size_t size) const {
  if (keep_pages_) return;
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
      posix_fadvise(fd_.get(), static_cast<off_t>(window * window_), static_cast<off_t>(window_),
                    POSIX_FADV_DONTNEED);
    }
    offset += part;
  }
}

}  // namespace skopsfs::archive
