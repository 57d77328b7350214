#include "archive/member_bytes.h"

namespace skopsfs::archive {
namespace {

// The decoded bytes of a compressed member, for the decoder of a member in it: that one keeps both.
class DecodedBytes : public zip::ByteSource {
 public:
  DecodedBytes(std::shared_ptr<const zip::ByteSource> file, const Extent& extent)
      : size_(extent.size), decoder_(std::move(file), extent) {}

  uint64_t size() const override { return size_; }
  size_t ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    out = zip::Within(size_, offset, out);
    if (!out.empty()) decoder_.Read(offset, out);
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

DecodedMember::DecodedMember(const std::shared_ptr<const ArchiveFile>& file, const Extent& extent,
                             DecoderPool::Place& place)
    : start_(extent.method == zip::kMethodStored ? extent.offset : 0),
      lease_(place.Borrow([&] { return MakeDecoder(file, extent); })) {}

}  // namespace skopsfs::archive
