#include "archive/inner_archive.h"

#include <fmt/format.h>

namespace skopsfs::archive {
namespace {

constexpr zip::Limits kLimits = {.central_directory_bytes = uint64_t{1} << 20,
                                 .entries = InnerArchive::kMostNodes - 1,
                                 .name_bytes = size_t{64} << 10};

zip::ReadByFunction BytesOfMember(const std::shared_ptr<const ArchiveFile>& file,
                                  const Extent& extent, DecoderPool& pool) {
  const auto reader = std::make_shared<MemberReader>(file, extent, pool);
  return {extent.size,
          [reader](uint64_t offset, std::span<std::byte> out) { reader->Read(offset, out); }};
}

}  // namespace

InnerArchive::InnerArchive(const std::shared_ptr<const ArchiveFile>& file, const Extent& outer,
                           DecoderPool& pool, const std::string& label)
    : InnerArchive(BytesOfMember(file, outer, pool), outer, label) {}

InnerArchive::InnerArchive(const zip::ByteSource& bytes, const Extent& outer,
                           const std::string& label)
    : index_(bytes, label, kLimits) {
  if (index_.node_count() > kMostNodes) {
    throw util::Error(EFBIG,
                      fmt::format("it has more members than the limit of {}", kMostNodes - 1));
  }
  const auto within = outer.is_decoded() ? std::make_shared<const Extent>(outer) : nullptr;
  members_.resize(index_.node_count());
  for (const uint32_t node : index_.MembersInFileOrder()) {
    try {
      Extent extent = LocateMember(bytes, index_, *index_.EntryOf(node));
      extent.within = within;
      if (!within) extent.offset += outer.offset;
      members_[node] = std::move(extent);
    } catch (const util::Error& error) {
      members_[node] = error;
    }
  }
}

const Extent& InnerArchive::Locate(uint32_t node) const {
  if (const auto* error = std::get_if<util::Error>(&members_[node])) throw util::Error(*error);
  return std::get<Extent>(members_[node]);
}

}  // namespace skopsfs::archive
