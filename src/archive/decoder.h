#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "archive/decode_stream.h"
#include "zip/byte_source.h"

namespace skopsfs::archive {

// Decodes one compressed member, from its start on. The last half MiB of decoded
// bytes is kept, because the kernel's readahead asks out of order; a read before that starts over.
// Thread-safe: calls wait for each other. Holds the source for as long as it lives.
class Decoder {
 public:
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
  static constexpr size_t kKept = size_t{512} << 10;
  static constexpr size_t kChunk = size_t{64} << 10;
  static constexpr size_t kMostKept = 2 * kKept + kChunk;

  void Restart();
  std::span<const std::byte> DecodeChunk();

  const std::shared_ptr<const zip::ByteSource> source_;
  const Extent extent_;
  const size_t memory_bytes_;
  std::mutex mutex_;
  std::unique_ptr<DecodeStream> stream_;
  std::vector<std::byte> kept_;  // decoded bytes up to position_
  uint64_t position_ = 0;        // of the next byte to decode
  uint32_t crc32_ = 0;           // of all bytes before position_
};

}  // namespace skopsfs::archive
