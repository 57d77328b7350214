#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "zip/byte_source.h"

namespace skopsfs::archive {

// Where the bytes of a member are and what they decode to.
struct Extent {
  uint64_t offset = 0;
  uint64_t compressed_size = 0;
  uint64_t size = 0;
  uint32_t crc32 = 0;
  uint16_t method = 0;
  uint16_t flags = 0;  // general purpose bits of the entry; LZMA has one
  // The compressed member in whose decoded bytes these are; nullptr when they are in the file.
  std::shared_ptr<const Extent> within = nullptr;
};

// One run over the data of a compressed member, from its first byte on. Keeps a reference to its
// source. Use from one thread at a time.
class DecodeStream {
 public:
  virtual ~DecodeStream() = default;

  // As many of the next decoded bytes as fit; fewer only at the end. Throws util::Error(EIO), or
  // the error of a read of the source.
  virtual size_t Read(std::span<std::byte> out) = 0;
};

// Whether members of this compression method can be decoded.
bool CanDecode(uint16_t method);

// How much memory a stream over these bytes takes at most.
size_t DecodeStreamMemory(const zip::ByteSource& source, const Extent& extent);

// A stream for a method that can be decoded: LZMA through liblzma, because Debian builds libzip
// without it and Python's zipfile reads it; all others through libzip.
std::unique_ptr<DecodeStream> OpenDecodeStream(const zip::ByteSource& source, const Extent& extent);

}  // namespace skopsfs::archive
