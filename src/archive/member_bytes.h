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

// Reads decoded bytes of such a member, with a decoder of `owner` in the pool. One that is stored
// in a compressed member shares nothing with others in it: a decoder has one place where it is.
void ReadDecoded(const std::shared_ptr<const ArchiveFile>& file, const Extent& extent,
                 DecoderPool& pool, const void* owner, uint64_t offset, std::span<std::byte> out);

// The bytes of a member of an archive, as those of a ZIP that it may be. What is read is of any
// version: callers see afterwards whether the file is still the one that it was. Thread-safe.
class MemberBytes : public zip::ByteSource {
 public:
  MemberBytes(std::shared_ptr<const ArchiveFile> file, const Extent& extent, DecoderPool& pool)
      : file_(std::move(file)), extent_(extent), pool_(pool) {}
  ~MemberBytes() override { pool_.Drop(this); }

  uint64_t size() const override { return extent_.size; }
  size_t ReadAt(uint64_t offset, std::span<std::byte> out) const override;

 private:
  const std::shared_ptr<const ArchiveFile> file_;
  const Extent extent_;
  DecoderPool& pool_;
};

}  // namespace skopsfs::archive
