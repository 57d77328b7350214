#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "archive/decode_stream.h"
#include "archive/direct_file.h"
#include "archive/member_state.h"
#include "archive/read_runs.h"
#include "archive/writers.h"
#include "handover/counters.h"
#include "handover/identity.h"
#include "util/long_mutex.h"
#include "util/unique_fd.h"
#include "zip/byte_source.h"

namespace skopsfs::archive {

// The open file of one archive version. Owns the descriptor. All members are thread-safe.
//
// Unless told to keep them, it drops the archive's page-cache pages behind the reads, because the
// bytes live on in the pages of the mounted files: each window of 8 MiB (of very large files, more)
// once that many bytes of it have been served, the rest when DropPages() is called or the object
// goes, and all of them when 64 MiB have been read that no such window held. What jumps goes past
// the page cache where that is possible.
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
  // never be asked for. Fastest into memory that lies in its block of DirectFile::kBlock bytes as
  // the offset does.
  size_t ReadForPages(uint64_t offset, std::span<std::byte> out) const;

  // Throws util::Error(EIO) unless the file still is the version it was opened as. What was read
  // before a call that returns is of that version: write and truncate change a file's times before
  // its bytes, provided that nobody had it open for writing at first (IsBeingWritten()).
  //
  // A file whose change time alone moved returns that new change time: its bytes need proof.
  // Losing a name (replaced by rename, unlinked), chmod, link and rename do that, but so does a
  // rewrite that resets the modification time.
  std::optional<int64_t> CheckUnchanged() const;

  // Whether somebody has it open for writing when it is to be trusted from now on, see writers.h.
  bool IsBeingWritten() const { return writers_.HaveItOpenAtFirst(); }

  // Whether it has its times of the beginning, and where these may lie, nobody writes to it: what
  // new opens ask for.
  bool IsCurrent() const;

  // Those two questions by themselves. The first throws util::Error when the file cannot be looked
  // at, as when its filesystem is gone.
  bool HasItsTimes() const { return handover::IdentityOf(Stat()) == identity_; }
  bool IsSeenWritten() const;

  // Whether a read of the file, or a look at it, has ever failed: then what was made of its bytes
  // proves nothing.
  bool failed_to_read() const { return failed_to_read_; }

  // What all who read a member share; its decoder is of `pool`.
  std::shared_ptr<MemberState> StateOf(const Extent& extent, DecoderPool& pool) const;

  // Drops all pages of the archive, if something was read since they were last dropped.
  void DropPages() const;

  // The same, whatever was read. Whether some are left: those that are being fetched just now, or
  // mapped.
  bool DropLastPages() const;

  // The same as the first, but only when nothing was read since the last call. One caller at a
  // time.
  void DropPagesIfQuiet() const;

  // Counts `size` bytes at `offset` as served from the mount; see the class comment.
  void Served(uint64_t offset, size_t size) const;

 private:
  static constexpr uint64_t kSmallestWindow = uint64_t{8} << 20;
  static constexpr uint64_t kMostWindows = 16384;  // the file's size is a stranger's claim

  struct stat Stat() const;
  void CountRead(size_t bytes) const;
  const DirectFile* Direct() const;
  bool IsToBeReadDirectly(uint64_t offset, size_t size) const;
  bool ReadDirectly(uint64_t offset, std::span<std::byte> out) const;
  bool ReadBlocksDirectly(const DirectFile& direct, uint64_t offset,
                          std::span<std::byte> out) const;
  void AskFor(uint64_t offset, size_t size) const;
  void ReadThroughCache(uint64_t offset, std::span<std::byte> out) const;

  util::UniqueFd fd_;
  handover::Identity identity_;
  const bool keep_pages_;
  handover::Counters* const counters_;
  const Writers writers_;
  uint64_t window_;                                  // bytes
  std::unique_ptr<std::atomic<uint64_t>[]> served_;  // bytes, one counter a window
  mutable ReadRuns runs_;
  mutable std::atomic<int> found_cached_ = 0;  // for how many jumps not to look again
  mutable std::atomic<int64_t> pending_ = 0;   // bytes read through the page cache, not yet dropped
  mutable util::LongMutex direct_mutex_;
  mutable std::optional<bool> direct_is_possible_;
  mutable std::unique_ptr<const DirectFile> direct_;  // stays once it is there
  mutable std::mutex members_mutex_;
  // Of members that are read, by where their bytes begin: in the file, or in those of the
  // compressed member that begins there.
  using Place = std::pair<std::optional<uint64_t>, uint64_t>;
  mutable std::map<Place, std::weak_ptr<MemberState>> members_;
  mutable std::atomic<bool> failed_to_read_ = false;
  mutable std::atomic<bool> has_pages_ = true;
  mutable std::atomic<bool> was_read_ = true;  // since the last DropPagesIfQuiet()
};

}  // namespace skopsfs::archive
