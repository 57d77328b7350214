#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace skopsfs::archive {

// The system call that tells what is in the page cache. Since Linux 6.5; not in the headers of
// Debian 12.
inline constexpr int kCacheStat = 451;

// How much of a range of the file is in the page cache; nothing where the kernel does not say.
std::optional<uint64_t> BytesInPageCache(int fd, uint64_t offset, uint64_t size);

// Whether an eighth or more of a range of the file is in the page cache. True also where the kernel
// does not say: on older ones, or, since 2025, to those who neither own nor may write the file.
bool IsInPageCache(int fd, uint64_t offset, uint64_t size);

// Drops the page-cache pages of a file behind its readers, because the bytes live on in the pages
// of the mounted files: each window of 8 MiB (of very large files, more) once that many bytes of it
// have been served, and all pages when 64 MiB have been read that no such window held. Does not own
// the descriptor. Thread-safe.
class PageDropper {
 public:
  // Drops nothing when it is to `keep` them.
  PageDropper(int fd, uint64_t size, bool keep);

  bool keeps_all() const { return keep_; }

  // To be called before a read, with the bytes of it that do not go past the page cache.
  void BeforeRead(size_t bytes);

  // Counts `size` bytes at `offset` as served from the mount.
  void Served(uint64_t offset, size_t size);

  // Drops all pages, if something was read since they were last dropped.
  void Drop();

  // The same, whatever was read. Whether some are left: those that are being fetched just now, or
  // mapped.
  bool DropLast();

  // The same as the first, but only when nothing was read since the last call. One caller at a
  // time.
  void DropIfQuiet();

 private:
  const int fd_;
  const uint64_t size_;
  const bool keep_;
  const uint64_t window_;                                  // bytes
  const std::unique_ptr<std::atomic<uint64_t>[]> served_;  // bytes, one counter a window
  std::atomic<int64_t> pending_ = 0;  // bytes read through the page cache, not yet dropped
  std::atomic<bool> has_pages_ = true;
  std::atomic<bool> was_read_ = true;  // since the last DropIfQuiet()
};

}  // namespace skopsfs::archive
