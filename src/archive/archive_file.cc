#include "archive/archive_file.h"

#include <unistd.h>

#include <utility>

#include "util/error.h"
#include "util/progress.h"

namespace skopsfs::archive {

using util::ErrnoError;
using util::Error;

ArchiveFile::ArchiveFile(util::UniqueFd fd, const struct stat& opened, bool keep_pages,
                         handover::Counters* counters)
    : fd_(std::move(fd)),
      identity_(handover::IdentityOf(opened)),
      counters_(counters),
      writer_detector_(fd_.get()),
      pages_(fd_.get(), identity_.size, keep_pages),
      direct_(fd_.get()) {}

ArchiveFile::~ArchiveFile() {
  pages_.Drop();
  const util::Waiting source(util::WaitsFor::kSource);
  fd_.Reset();
}

size_t ArchiveFile::ReadAt(uint64_t offset, std::span<std::byte> out) const {
  out = zip::Within(size(), offset, out);
  ReadThroughCache(offset, out);
  if (counters_ != nullptr) counters_->ReadFromSource(out.size());
  return out.size();
}

size_t ArchiveFile::ReadForPages(uint64_t offset, std::span<std::byte> out) const {
  out = zip::Within(size(), offset, out);
  if (out.empty()) return 0;
  const auto done = pages_.keeps_all() ? DirectReader::Part() : direct_.Read(offset, out);
  ReadThroughCache(offset, out.first(done.begin));
  ReadThroughCache(offset + done.end, out.subspan(done.end));
  if (counters_ != nullptr) counters_->ReadFromSource(out.size());
  return out.size();
}

void ArchiveFile::ReadThroughCache(uint64_t offset, std::span<std::byte> out) const {
  pages_.BeforeRead(out.size());
  if (out.empty()) return;
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
  return writer_detector_.may_leave_times() && writer_detector_.HasWriter();
}

std::optional<int64_t> ArchiveFile::CheckUnchanged() const {
  if (IsSeenWritten()) throw Error(EIO, "somebody has the archive open for writing");
  handover::Identity now = handover::IdentityOf(Stat());
  if (now == identity_) return std::nullopt;
  const int64_t changed = std::exchange(now.ctime, identity_.ctime);
  if (now != identity_) throw Error(EIO, "the archive was changed in place while it was open");
  return changed;
}

}  // namespace skopsfs::archive
