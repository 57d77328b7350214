#include "archive/member_bytes.h"

#include <algorithm>

namespace skopsfs::archive {
namespace {

// The decoded bytes of a compressed member, for the decoder of a member in it: that one keeps both.
class DecodedBytes : public zip::ByteSource {
 public:
  DecodedBytes(std::shared_ptr<const zip::ByteSource> file, const Extent& extent)
      : size_(extent.size), decoder_(std::move(file), extent) {}

  uint64_t size() const override { return size_; }
  size_t ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= size_) return 0;
    out = out.first(static_cast<size_t>(std::min<uint64_t>(out.size(), size_ - offset)));
    decoder_.Read(offset, out);
    return out.size();
  }
  size_t memory_bytes() const { return decoder_.memory_bytes(); }

 private:
  const uint64_t size_;
  mutable Decoder decoder_;
};

std::unique_ptr<Decoder> MakeDecoder(const std::shared_ptr<const ArchiveFile>& file,
                                     const Extent& extent) {
  if (!extent.within) return std::make_unique<Decoder>(file, extent);
  if (extent.method == zip::kMethodStored) return std::make_unique<Decoder>(file, *extent.within);
  const auto bytes = std::make_shared<const DecodedBytes>(file, *extent.within);
  return std::make_unique<Decoder>(bytes, extent, bytes->memory_bytes());
}

}  // namespace

std::shared_ptr<MemberState> DecoderStateOf(const ArchiveFile& file, const Extent& extent,
                                            DecoderPool& pool) {
  const bool is_stored_within = extent.within && extent.method == zip::kMethodStored;
  return file.StateOf(is_stored_within ? *extent.within : extent, pool);
}

void ReadDecoded(const std::shared_ptr<const ArchiveFile>& file, const Extent& extent,
                 DecoderPool::Place& place, uint64_t offset, std::span<std::byte> out) {
  const bool is_stored = extent.method == zip::kMethodStored;
  place.Borrow([&] { return MakeDecoder(file, extent); })
      ->Read(is_stored ? extent.offset + offset : offset, out);
}

size_t MemberBytes::ReadAt(uint64_t offset, std::span<std::byte> out) const {
  if (offset >= extent_.size) return 0;
  out = out.first(static_cast<size_t>(std::min<uint64_t>(out.size(), extent_.size - offset)));
  if (out.empty()) return 0;
  if (!IsDecoded(extent_)) return file_->ReadAt(extent_.offset + offset, out);
  ReadDecoded(file_, extent_, state_->decoder, offset, out);
  return out.size();
}

}  // namespace skopsfs::archive
