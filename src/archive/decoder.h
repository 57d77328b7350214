#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "archive/decode_stream.h"
#include "util/mutex.h"
#include "zip/byte_source.h"

namespace skopsfs::archive {

// Decodes one compressed member. Of what is asked for out of order, as the kernel's readahead does,
// the last 16 MiB of decoded bytes are kept, twice what it reads ahead at a time; what is asked for
// in order goes straight to the kernel, which keeps it. Deflated data leaves a checkpoint every 8
// MiB behind (of very large members, at longer distances), and where it jumped away from. A read
// goes on from the nearest of these before it; with other methods, what lies before the kept bytes
// starts over. Thread-safe: calls wait for each other. Holds the source for as long as it lives.
class Decoder {
 public:
  // Decoded bytes between checkpoints: those take 0.7 % of the member, and a page here and there
  // waits 8 ms at most.
  static constexpr uint64_t kSpan = uint64_t{8} << 20;
  static constexpr size_t kMostCheckpoints = 512;  // a member's size is a stranger's claim
  static constexpr size_t kKept = size_t{16} << 20;

  // `source_bytes` is what the source itself takes of memory.
  Decoder(std::shared_ptr<const zip::ByteSource> source, const Extent& extent,
          size_t source_bytes = 0);

  // At most, whatever it decodes.
  size_t memory_bytes() const { return memory_bytes_; }

  // Fills `out` with the decoded bytes at `offset`; the range must lie within the size. Throws
  // util::Error(EIO) for data that cannot be decoded, and when the last byte has been decoded and
  // the CRC-32 of all is not what the archive says.
  void Read(uint64_t offset, std::span<std::byte> out);

 private:
  static constexpr size_t kChunk = size_t{256} << 10;  // decoded at a time
  static constexpr size_t kMostJumps = 16;
  static_assert(kKept % kChunk == 0 && kSpan % kChunk == 0);

  struct ResumePoint {
    uint64_t position = 0;
    uint32_t crc32 = 0;  // of all bytes before it
    std::unique_ptr<const Checkpoint> checkpoint;
  };

  const ResumePoint* NearestResumePoint(uint64_t offset) const REQUIRES(mutex_);
  void GoTo(uint64_t offset) REQUIRES(mutex_);
  void Leave() REQUIRES(mutex_);
  void GoOnFrom(const ResumePoint* point) REQUIRES(mutex_);
  size_t NextChunk() const REQUIRES(mutex_);
  void DecodeAndKeep() REQUIRES(mutex_);
  void DecodeChunk(std::span<std::byte> chunk) REQUIRES(mutex_);
  void AddResumePoint() REQUIRES(mutex_);
  uint64_t CopyKept(uint64_t from, uint64_t offset, std::span<std::byte> out) REQUIRES(mutex_);

  const std::shared_ptr<const zip::ByteSource> source_;
  const Extent extent_;
  const uint64_t span_;  // between checkpoints
  const bool has_checkpoints_;
  const size_t memory_bytes_;
  util::LongMutex mutex_;
  std::unique_ptr<DecodeStream> stream_ GUARDED_BY(mutex_);
  // Not touched before it is needed: many read a little.
  std::unique_ptr<std::byte[]> memory_ GUARDED_BY(mutex_);
  // In it, a ring: the byte at `position` is at position % size.
  std::span<std::byte> kept_ GUARDED_BY(mutex_);
  uint64_t kept_count_ GUARDED_BY(mutex_) = 0;  // decoded bytes before position_ that are in it
  // Of these, about: somebody who is behind will ask for them.
  uint64_t not_asked_for_ GUARDED_BY(mutex_) = 0;
  uint64_t position_ GUARDED_BY(mutex_) = 0;  // of the next byte to decode
  uint32_t crc32_ GUARDED_BY(mutex_) = 0;     // of all bytes before position_
  // One every span_ bytes, as far as it has been decoded.
  std::vector<ResumePoint> resume_points_ GUARDED_BY(mutex_);
  // Where it was when it jumped, the last ones first.
  std::list<ResumePoint> jumps_ GUARDED_BY(mutex_);
};

}  // namespace skopsfs::archive
