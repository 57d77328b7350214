#include "archive/single_member_zip.h"

#include <algorithm>
#include <limits>

#include "zip/format.h"

namespace skopsfs::archive {
namespace {

constexpr uint16_t kMethodOptions = 0x6;  // flag bits 1 and 2, which belong to the method
constexpr uint16_t kVersion = 63;
constexpr uint32_t kIn64Bits = std::numeric_limits<uint32_t>::max();
constexpr uint16_t kNameSize = 1;
constexpr uint16_t kExtraSize = 20;  // ZIP64 field with both sizes

class RecordWriter {
 public:
  template <typename T>
  RecordWriter& Put(T value) {
    for (size_t i = 0; i < sizeof(T); ++i) {
      bytes_.push_back(static_cast<std::byte>(static_cast<uint64_t>(value) >> (8 * i)));
    }
    return *this;
  }
  RecordWriter& U16(uint16_t value) { return Put(value); }
  RecordWriter& U32(uint32_t value) { return Put(value); }
  RecordWriter& U64(uint64_t value) { return Put(value); }
  std::vector<std::byte> Take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

// Version needed to extra length: the same in both headers.
void PutCommon(RecordWriter& out, const Extent& extent) {
  const auto flags = static_cast<uint16_t>(extent.flags & kMethodOptions);
  out.U16(kVersion).U16(flags).U16(extent.method).U16(0).U16(0x21);
  out.U32(extent.crc32).U32(kIn64Bits).U32(kIn64Bits).U16(kNameSize).U16(kExtraSize);
}

void PutNameAndExtra(RecordWriter& out, const Extent& extent) {
  out.Put('m').U16(zip::kZip64ExtraField).U16(kExtraSize - 4);
  out.U64(extent.size).U64(extent.compressed_size);
}

std::vector<std::byte> LocalHeader(const Extent& extent) {
  RecordWriter out;
  out.U32(zip::kLocalHeaderSignature);
  PutCommon(out, extent);
  PutNameAndExtra(out, extent);
  return out.Take();
}

std::vector<std::byte> DirectoryAndEnd(const Extent& extent, uint64_t start) {
  constexpr uint64_t kDirectorySize = zip::kCentralHeaderSize + kNameSize + kExtraSize;
  RecordWriter out;
  out.U32(zip::kCentralHeaderSignature).U16(kVersion);
  PutCommon(out, extent);
  out.U16(0).U16(0).U16(0).U32(0).U32(0);  // comment, disk, attributes, header offset
  PutNameAndExtra(out, extent);
  out.U32(zip::kZip64EndRecordSignature).U64(zip::kZip64EndRecordSize - 12);
  out.U16(kVersion).U16(kVersion).U32(0).U32(0).U64(1).U64(1).U64(kDirectorySize).U64(start);
  out.U32(zip::kZip64LocatorSignature).U32(0).U64(start + kDirectorySize).U32(1);
  out.U32(zip::kEndRecordSignature).U16(0).U16(0).U16(0xffff).U16(0xffff);
  out.U32(kIn64Bits).U32(kIn64Bits).U16(0);
  return out.Take();
}

}  // namespace

SingleMemberZip::SingleMemberZip(const zip::ByteSource& source, const Extent& extent)
    : source_(source),
      extent_(extent),
      head_(LocalHeader(extent)),
      tail_(DirectoryAndEnd(extent, head_.size() + extent.compressed_size)) {}

size_t SingleMemberZip::ReadAt(uint64_t offset, std::span<std::byte> out) const {
  size_t done = 0;
  const auto copy_from = [&](const std::vector<std::byte>& part, uint64_t part_start) {
    const uint64_t at = offset + done;
    if (at < part_start || at >= part_start + part.size()) return;
    const auto bytes = std::span(part).subspan(at - part_start);
    const size_t count = std::min(bytes.size(), out.size() - done);
    std::copy_n(bytes.begin(), count, out.begin() + static_cast<ptrdiff_t>(done));
    done += count;
  };
  copy_from(head_, 0);
  const uint64_t data_end = head_.size() + extent_.compressed_size;
  if (const uint64_t at = offset + done; at >= head_.size() && at < data_end) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(data_end - at, out.size() - done));
    done += source_.ReadAt(extent_.offset + (at - head_.size()), out.subspan(done, count));
  }
  copy_from(tail_, data_end);
  return done;
}

}  // namespace skopsfs::archive
