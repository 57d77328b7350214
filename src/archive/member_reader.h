#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "archive/archive_file.h"
#include "archive/archive_index.h"
#include "archive/decoder_pool.h"
#include "util/error.h"

namespace skopsfs::archive {

// What the central directory alone says against reading a member, if anything.
std::optional<util::Error> RefusalOf(const zip::Entry& entry);

// Finds the bytes of a member: checks its local header and that it can be read at all. Throws
// util::Error with the reason otherwise (EIO, EACCES, EOPNOTSUPP).
Extent LocateMember(const zip::ByteSource& source, const ArchiveIndex& index,
                    const zip::Entry& entry);

// Reads a member of one archive version: its bytes at any offset, or fails. Keeps the
// version's file open. When all bytes of a stored member have been read, by whomever, their CRC-32
// is compared; if it is wrong, that read fails, and from then on all of them do. Thread-safe.
class MemberReader {
 public:
  MemberReader(std::shared_ptr<const ArchiveFile> file, const Extent& extent, DecoderPool& pool);

  // Fills `out` from `offset` on; returns fewer bytes than asked for only where the member ends.
  // Throws util::Error; what it returns is of the version that was opened, see ArchiveFile.
  size_t Read(uint64_t offset, std::span<std::byte> out);

  // The same, but nothing when that could take long: when the member has to be decoded, or read
  // through for its proof.
  std::optional<size_t> ReadAtOnce(uint64_t offset, std::span<std::byte> out);

  // Where in the archive, as far as is known, what is at `offset` lies: memory that begins in a
  // block as this does is the fastest to read into, see ArchiveFile.
  uint64_t OffsetInFile(uint64_t offset) const { return extent_.offset + offset; }

  // Reads the member through, unless that has been done, and throws util::Error(EIO) when its
  // CRC-32, which must be known, is wrong. To be called when the file is current, and counts if it
  // still is afterwards.
  void Verify();

  // Of bytes whose CRC-32 nobody has said, before any of them is given: takes them for right as
  // they are now. The second one reads them through, and returns their CRC-32.
  void TakeAsItIs();
  uint32_t LearnCrc32();
  // Nothing when nobody has said it, and not all bytes have gone by.
  std::optional<uint32_t> Crc32() const {
    if (extent_.has_crc32) return extent_.crc32;
    return state_->right ? std::optional(state_->crc32.load()) : std::nullopt;
  }

  handover::Kind kind() const {
    return extent_.is_decoded() ? handover::Kind::kDecoded : handover::Kind::kStored;
  }
  static size_t memory_bytes() { return sizeof(MemberReader) + sizeof(MemberState); }

  // Whether its CRC-32 has been found wrong: this version of it will never be read.
  bool is_wrong() const { return state_->wrong; }

 private:
  std::optional<int64_t> ReadUnproven(uint64_t offset, std::span<std::byte> out);
  void ReadBytes(uint64_t offset, std::span<std::byte> out) const;
  void AddToCrc(uint64_t offset, std::span<const std::byte> bytes);
  void CheckCrc() REQUIRES(state_->mutex);
  void Prove(int64_t changed);
  void ProveMember(int64_t changed) REQUIRES(state_->mutex);

  const std::shared_ptr<const ArchiveFile> file_;
  const Extent extent_;
  const std::shared_ptr<MemberState> state_;
  const std::shared_ptr<MemberState> decoder_state_;  // whose decoder decodes it; of most the same
  // The change time with which the member was proven, and since which there is no decoder of
  // before.
  std::atomic<int64_t> trusted_ = MemberState::kNone;
};

}  // namespace skopsfs::archive
