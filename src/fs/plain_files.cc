// The part of FileSystem that reads files that are no archives.

#include "fs/file_system.h"
#include "util/effort.h"
#include "util/error.h"

namespace skopsfs::fs {
namespace {

using catalog::Slot;
using util::Error;

// Up to so many bytes are read through before one is given. Of others the CRC-32 is known once all
// have gone by.
constexpr uint64_t kReadThrough = uint64_t{16} << 20;

// What a record says of a plain file, in place of the mark of an index: whether bytes of it were
// given to somebody, or, with a bit above it, what the CRC-32 of all is. So the next worker gives
// the same bytes or none.
constexpr uint64_t kWasRead = 1;
constexpr uint64_t kHasCrc32 = uint64_t{1} << 32;

}  // namespace

Member FileSystem::PlainFileOf(const std::shared_ptr<Slot>& slot, NodeId node) {
  if (node.index != 0) throw Error(ESTALE, "no such node");
  const auto open = catalog_.OpenKnown(slot);
  const uint64_t size = open.file->size();
  auto& mark = slot->record->index_mark;
  const uint64_t known = mark;
  const archive::Extent extent{.compressed_size = size,
                               .size = size,
                               .crc32 = static_cast<uint32_t>(known),
                               .has_crc32 = known >= kHasCrc32};
  auto reader = catalog_.open_archives().Adopt(
      std::make_unique<archive::MemberReader>(open.file, extent, decoders_), *slot);
  if (known == 0) util::CheckEffort(util::Effort::kDecode, node.number());
  if (known == 0 && size <= kReadThrough) {
    // Who was first may have read it when it was something else.
    if (!handover::IsMark(mark, kHasCrc32 | reader->LearnCrc32())) {
      throw Error(EIO, "the archive is being changed all the time");
    }
  } else if (uint64_t none = 0; known == 0 && mark.compare_exchange_strong(none, kWasRead)) {
    reader->TakeAsItIs();
  }
  return {node, slot, catalog_.Read(*slot, open, node.index, reader)};
}

void FileSystem::NoteCrc32(const Member& member) {
  auto& mark = member.slot->record->index_mark;
  if (mark >= kHasCrc32) return;
  if (const auto crc = member.reader->Crc32()) mark = kHasCrc32 | *crc;
}

}  // namespace skopsfs::fs
