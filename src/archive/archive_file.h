#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "archive/direct_reader.h"
#include "archive/member_state.h"
#include "archive/page_cache.h"
#include "archive/writer_detector.h"
#include "handover/counters.h"
#include "handover/identity.h"
#include "util/unique_fd.h"
#include "zip/byte_source.h"

namespace skopsfs::archive {

// The open file of one archive version: reads its bytes, and tells whether they still are of that
// version. Owns the descriptor. Thread-safe.
class ArchiveFile : public zip::ByteSource {
 public:
  // `opened` is what fstat said of `fd` when it was opened. What is read is counted in `counters`,
  // if any, which must live longer.
  ArchiveFile(util::UniqueFd fd, const struct stat& opened, bool keep_pages = false,
              handover::Counters* counters = nullptr);
  ~ArchiveFile() override;

  const handover::Identity& identity() const { return identity_; }
  int descriptor() const { return fd_.get(); }
  uint64_t size() const override { return identity_.size; }

  // Through the page cache.
  size_t ReadAt(uint64_t offset, std::span<std::byte> out) const override;

  // The same for what stays in the pages of a mounted file, when the bytes that lie beside it may
  // never be asked for: what jumps goes past the page cache where that is possible. Fastest into
  // memory that lies in its block of DirectFile::kBlock bytes as the offset does.
  size_t ReadForPages(uint64_t offset, std::span<std::byte> out) const;

  // Throws util::Error(EIO) unless the file still is the version it was opened as. What was read
  // before a call that returns is of that version: write and truncate change a file's times before
  // its bytes, provided that nobody had it open for writing at first (IsBeingWritten()).
  //
  // A file whose change time alone moved returns that new change time: its bytes need proof.
  // Losing a name (replaced by rename, unlinked), chmod, link and rename do that, but so does a
  // rewrite that resets the modification time.
  std::optional<int64_t> CheckUnchanged() const;

  // Whether somebody has it open for writing when it is to be trusted from now on, see
  // writer_detector.h.
  bool IsBeingWritten() const { return writer_detector_.HasWriterAtFirst(); }

  // Whether it has its times of the beginning, and where these may lie, nobody writes to it: what
  // new opens ask for.
  bool IsCurrent() const { return !IsSeenWritten() && HasItsTimes(); }

  // Those two questions by themselves. The first throws util::Error when the file cannot be looked
  // at, as when its filesystem is gone.
  bool HasItsTimes() const { return handover::IdentityOf(Stat()) == identity_; }
  bool IsSeenWritten() const;

  // Whether a read of the file, or a look at it, has ever failed: then what was made of its bytes
  // proves nothing.
  bool failed_to_read() const { return failed_to_read_; }

  // Unless told to keep them, it drops its pages from the page cache: the last ones when it goes.
  PageDropper& pages() const { return pages_; }

  // Of the members that are read.
  MemberStates& members() const { return members_; }

 private:
  struct stat Stat() const;
  void ReadThroughCache(uint64_t offset, std::span<std::byte> out) const;

  util::UniqueFd fd_;
  handover::Identity identity_;
  handover::Counters* const counters_;
  const WriterDetector writer_detector_;
  mutable PageDropper pages_;
  mutable DirectReader direct_;
  mutable MemberStates members_;
  mutable std::atomic<bool> failed_to_read_ = false;
};

}  // namespace skopsfs::archive
