#pragma once

#include <memory>
#include <span>

#include "archive/archive_file.h"
#include "archive/decode_stream.h"
#include "archive/decoder_pool.h"
#include "zip/format.h"

namespace skopsfs::archive {

// Whether the bytes of a member have to be decoded before they can be read.
inline bool IsDecoded(const Extent& extent) {
  return extent.method != zip::kMethodStored || extent.within != nullptr;
}

// Whose decoder decodes such a member: of one that is stored in a compressed member, that of the
// compressed one.
std::shared_ptr<MemberState> DecoderStateOf(const ArchiveFile& file, const Extent& extent,
                                            DecoderPool& pool);

// Reads such a member with the decoder of a state, which is in use for as long as this lives.
class DecodedMember {
 public:
  DecodedMember(const std::shared_ptr<const ArchiveFile>& file, const Extent& extent,
                MemberState& state);

  void Read(uint64_t offset, std::span<std::byte> out) { decoder_->Read(start_ + offset, out); }

 private:
  const uint64_t start_;  // in what the decoder gives
  const std::shared_ptr<Decoder> decoder_;
};

}  // namespace skopsfs::archive
