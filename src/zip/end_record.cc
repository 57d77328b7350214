#include "zip/end_record.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "util/error.h"
#include "util/little_endian.h"
#include "zip/format.h"

namespace skopsfs::zip {
namespace {

using util::Bytes;
using util::Error;
using util::LoadU16;
using util::LoadU32;
using util::LoadU64;

struct EndRecord {
  uint64_t location = 0;
  uint64_t directory_size = 0;
  uint64_t directory_offset = 0;
  bool zip64 = false;
};

EndRecord ParseEndRecord(Bytes record, uint64_t location) {
  return {.location = location,
          .directory_size = LoadU32(record, 12),
          .directory_offset = LoadU32(record, 16)};
}

std::optional<EndRecord> FindEndRecord(const ByteSource& source) {
  const uint64_t size = source.size();
  if (size < kEndRecordSize) return std::nullopt;

  std::array<std::byte, kEndRecordSize> last;
  if (source.ReadAt(size - last.size(), last) == last.size() &&
      LoadU32(last, 0) == kEndRecordSignature && LoadU16(last, 20) == 0) {
    return ParseEndRecord(last, size - last.size());
  }

  const uint64_t tail_size = std::min<uint64_t>(size, kLongestComment + kEndRecordSize);
  const uint64_t tail_start = size - tail_size;
  std::vector<std::byte> tail(tail_size);
  tail.resize(source.ReadAt(tail_start, tail));
  for (size_t i = tail.size(); i-- > 0;) {
    if (tail.size() - i < sizeof(uint32_t) || LoadU32(tail, i) != kEndRecordSignature) continue;
    const Bytes record = Bytes(tail).subspan(i);
    if (record.size() < kEndRecordSize) return std::nullopt;  // zipfile looks no further either
    return ParseEndRecord(record.first(kEndRecordSize), tail_start + i);
  }
  return std::nullopt;
}

// Replaces what the ZIP64 end record, if there is one directly before, says better.
void ApplyZip64(const ByteSource& source, EndRecord& end) {
  if (end.location < kZip64LocatorSize) return;
  std::array<std::byte, kZip64LocatorSize> locator;
  const uint64_t locator_start = end.location - locator.size();
  if (source.ReadAt(locator_start, locator) != locator.size()) return;
  if (LoadU32(locator, 0) != kZip64LocatorSignature) return;
  if (LoadU32(locator, 4) != 0 || LoadU32(locator, 16) > 1) {
    throw Error(EIO, "the archive spans several disks");
  }
  if (locator_start < kZip64EndRecordSize) {
    throw Error(EIO, "not a ZIP archive: no room for its ZIP64 end record");
  }
  std::array<std::byte, kZip64EndRecordSize> record;
  if (source.ReadAt(locator_start - record.size(), record) != record.size()) return;
  if (LoadU32(record, 0) != kZip64EndRecordSignature) return;
  end.directory_size = LoadU64(record, 40);
  end.directory_offset = LoadU64(record, 48);
  end.zip64 = true;
}

}  // namespace

DirectoryLocation FindCentralDirectory(const ByteSource& source) {
  auto end = FindEndRecord(source);
  if (!end) throw Error(EIO, "not a ZIP archive: no end of central directory record");
  ApplyZip64(source, *end);

  const uint64_t records = end->zip64 ? kZip64EndRecordSize + kZip64LocatorSize : 0;
  if (end->location < records || end->location - records < end->directory_size) {
    throw Error(EIO, "bad offset of the central directory");
  }
  const uint64_t start = end->location - records - end->directory_size;
  return {.start = start,
          .size = end->directory_size,
          .shift = static_cast<__int128>(start) - static_cast<__int128>(end->directory_offset)};
}

}  // namespace skopsfs::zip
