#pragma once

#include <memory>
#include <span>

#include "archive/archive_file.h"
#include "archive/decode_stream.h"
#include "archive/decoder.h"
#include "archive/decoder_pool.h"
#include "zip/format.h"

namespace skopsfs::archive {

// Whether the bytes of a member have to be decoded before they can be read.
inline bool IsDecoded(const Extent& extent) {
  return extent.method != zip::kMethodStored || extent.within != nullptr;
}

// The place for the decoder of such a member: of one that is stored in a compressed member, that
// of the compressed one.
std::shared_ptr<MemberState> DecoderStateOf(const ArchiveFile& file, const Extent& extent,
                                            DecoderPool& pool);

// Reads decoded bytes of such a member, with the decoder in `place`.
void ReadDecoded(const std::shared_ptr<const ArchiveFile>& file, const Extent& extent,
                 DecoderPool::Place& place, uint64_t offset, std::span<std::byte> out);

// The bytes of a member of an archive, as those of a ZIP that it may be. What is read is of any
// version: callers see afterwards whether the file is still the one that it was. Thread-safe.
class MemberBytes : public zip::ByteSource {
 public:
  MemberBytes(std::shared_ptr<const ArchiveFile> file, const Extent& extent, DecoderPool& pool)
      : file_(std::move(file)), extent_(extent), state_(file_->StateOf(extent, pool)) {}

  uint64_t size() const override { return extent_.size; }
  size_t ReadAt(uint64_t offset, std::span<std::byte> out) const override;

 private:
  const std::shared_ptr<const ArchiveFile> file_;
  const Extent extent_;
  const std::shared_ptr<MemberState> state_;
};

}  // namespace skopsfs::archive
