#include "archive/inner_archive.h"

#include "archive/member_reader.h"
#include "util/error.h"

namespace skopsfs::archive {
namespace {

constexpr zip::Limits kLimits = {.central_directory_bytes = uint64_t{1} << 20,
                                 .entries = InnerArchive::kMostNodes - 1,
                                 .name_bytes = size_t{64} << 10};

}  // namespace

InnerArchive::InnerArchive(const std::shared_ptr<const ArchiveFile>& file, const Extent& outer,
                           DecoderPool& pool, const std::string& label)
    : outer_(std::make_shared<const Extent>(outer)),
      index_(MemberBytes(file, outer, pool), label, kLimits) {
  if (index_.node_count() > kMostNodes) {
    throw util::Error(EFBIG, "it has more members than the limit");
  }
}

Extent InnerArchive::Locate(const std::shared_ptr<const ArchiveFile>& file, DecoderPool& pool,
                            const zip::Entry& entry) const {
  Extent extent = LocateMember(MemberBytes(file, *outer_, pool), index_, entry);
  if (IsDecoded(*outer_)) {
    extent.within = outer_;
  } else {
    extent.offset += outer_->offset;
  }
  return extent;
}

}  // namespace skopsfs::archive
