#include "archive/member_bytes.h"

namespace skopsfs::archive {
namespace {

std::shared_ptr<Decoder> MakeDecoder(const std::shared_ptr<const ArchiveFile>& file,
                                     const Extent& extent) {
  if (!extent.within) return std::make_shared<Decoder>(file, extent);
  if (extent.method == zip::kMethodStored) return std::make_shared<Decoder>(file, *extent.within);
  // The decoder of what is in the compressed member keeps both.
  const auto outer = std::make_shared<Decoder>(file, *extent.within);
  const auto bytes = std::make_shared<const zip::ReadByFunction>(
      extent.within->size,
      [outer](uint64_t offset, std::span<std::byte> out) { outer->Read(offset, out); });
  return std::make_shared<Decoder>(bytes, extent, outer->memory_bytes());
}

}  // namespace

std::shared_ptr<MemberState> DecoderStateOf(const ArchiveFile& file, const Extent& extent,
                                            DecoderPool& pool) {
  const bool is_stored_within = extent.within && extent.method == zip::kMethodStored;
  return file.members().Of(is_stored_within ? *extent.within : extent, pool);
}

DecodedMember::DecodedMember(const std::shared_ptr<const ArchiveFile>& file, const Extent& extent,
                             MemberState& state)
    : start_(extent.method == zip::kMethodStored ? extent.offset : 0),
      decoder_(state.pool.Get(state.decoder, [&] { return MakeDecoder(file, extent); })) {}

}  // namespace skopsfs::archive
