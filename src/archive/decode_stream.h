#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "zip/byte_source.h"
#include "zip/format.h"

namespace skopsfs::archive {

// Where the bytes of a member are and what they decode to.
struct Extent {
  uint64_t offset = 0;
  uint64_t compressed_size = 0;
  uint64_t size = 0;
  uint32_t crc32 = 0;
  bool has_crc32 = true;  // else nobody has said what it is
  uint16_t method = 0;
  uint16_t flags = 0;  // general purpose bits of the entry; LZMA has one
  // The compressed member in whose decoded bytes these are; nullptr when they are in the file.
  std::shared_ptr<const Extent> within = nullptr;

  bool is_stored() const { return method == zip::kMethodStored; }
  // Whether the bytes have to be decoded before they can be read.
  bool is_decoded() const { return !is_stored() || within; }
  // What has to be decoded for that: of what is stored in a compressed member, that member.
  const Extent& decoded() const { return is_stored() && within ? *within : *this; }
};

// What a stream needs to go on from one place, without what comes before it. Immutable.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;
};

// One run over the data of a compressed member, from its first byte or a checkpoint on. Keeps a
// reference to its source. Use from one thread at a time.
class DecodeStream {
 public:
  virtual ~DecodeStream() = default;

  // As many of the next decoded bytes as fit; fewer only at the end. Throws util::Error(EIO) or
  // the error of a read of the source; std::bad_alloc, which says nothing of the data.
  virtual size_t Read(std::span<std::byte> out) = 0;

  // A checkpoint at the byte that is read next, or nullptr where there can be none.
  virtual std::unique_ptr<const Checkpoint> Save() const { return nullptr; }
};

// Whether members of this compression method can be decoded.
bool CanDecode(uint16_t method);

// How much memory a stream over these bytes takes at most.
size_t DecodeStreamMemory(const zip::ByteSource& source, const Extent& extent);

// How much memory a checkpoint of such a stream takes at most; 0 where the method has none.
size_t CheckpointMemory(uint16_t method);

// A stream for a method that can be decoded: deflate through ISA-L, which is fast and has
// checkpoints; LZMA through liblzma, because Debian builds libzip without it and Python's zipfile
// reads it; all others through libzip. `from` is of a stream over the same bytes.
std::unique_ptr<DecodeStream> OpenDecodeStream(const zip::ByteSource& source, const Extent& extent,
                                               const Checkpoint* from = nullptr);

}  // namespace skopsfs::archive
