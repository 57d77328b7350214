#include "zip/end_record.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
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
  uint64_t location = 0;  // of the first of the end records
  uint64_t directory_size = 0;
  uint64_t directory_offset = 0;
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

// The ZIP64 end record and its place: where the locator says, or, when data was prepended to the
// archive, directly before the locator.
struct Zip64Record {
  std::array<std::byte, kZip64EndRecordSize> bytes;
  uint64_t location = 0;

  bool ReadAt(const ByteSource& source, uint64_t offset) {
    location = offset;
    return source.ReadAt(offset, bytes) == bytes.size() &&
           LoadU32(bytes, 0) == kZip64EndRecordSignature;
  }
};

// Replaces what the ZIP64 end record, if a locator stands directly before the end record, says
// better. Both must agree with each other and with the place they stand at.
void ApplyZip64(const ByteSource& source, EndRecord& end) {
  if (end.location < kZip64LocatorSize) return;
  std::array<std::byte, kZip64LocatorSize> locator;
  const uint64_t locator_start = end.location - locator.size();
  if (source.ReadAt(locator_start, locator) != locator.size()) {
    throw Error(EIO, "not a ZIP archive: truncated");
  }
  if (LoadU32(locator, 0) != kZip64LocatorSignature) return;
  if (LoadU32(locator, 4) != 0 || LoadU32(locator, 16) > 1) {
    throw Error(EIO, "the archive spans several disks");
  }
  const uint64_t claimed = LoadU64(locator, 8);
  if (locator_start < kZip64EndRecordSize || claimed > locator_start - kZip64EndRecordSize) {
    throw Error(EIO, "corrupt ZIP64 end of central directory locator");
  }
  Zip64Record record;
  if (!record.ReadAt(source, claimed) &&
      !record.ReadAt(source, locator_start - kZip64EndRecordSize)) {
    throw Error(EIO, "no ZIP64 end of central directory record");
  }
  const __int128 record_size = static_cast<__int128>(LoadU64(record.bytes, 4)) + 12;
  end.directory_size = LoadU64(record.bytes, 40);
  end.directory_offset = LoadU64(record.bytes, 48);
  const auto directory_end =
      static_cast<__int128>(end.directory_offset) + static_cast<__int128>(end.directory_size);
  if (directory_end != claimed || record_size != locator_start - record.location) {
    throw Error(EIO, "corrupt ZIP64 end of central directory record");
  }
  end.location = record.location;
}

}  // namespace

const char* WhyNoArchive(std::string_view begin) {
  using std::string_view_literals::operator""sv;
  if (begin.empty()) return "not a ZIP archive: it is empty";
  if (begin.starts_with("PK\3\4"sv)) {
    return "not a ZIP archive: it looks cut off, as by an incomplete upload or copy";
  }
  if (begin.starts_with("version https://git-lfs.github.com/spec/"sv)) {
    return "not a ZIP archive: a Git LFS pointer; run git lfs pull in its folder";
  }
  if (begin.starts_with("\x1f\x8b"sv)) return "not a ZIP archive: packed with gzip";
  // Of protocols 2 to 5, as pickle and joblib write them.
  if (begin.size() > 1 && begin[0] == '\x80' && begin[1] >= 2 && begin[1] <= 5) {
    return "not a ZIP archive: a pickle, not written by skops.io";
  }
  std::string text(
      begin.substr(std::min(begin.find_first_not_of("\xef\xbb\xbf \t\r\n"), begin.size())));
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (text.starts_with("<!doctype html") || text.starts_with("<html")) {
    return "not a ZIP archive: a page of HTML, perhaps an error or a log-in page";
  }
  return "not a ZIP archive: no end of central directory record";
}

DirectoryLocation FindCentralDirectory(const ByteSource& source) {
  auto end = FindEndRecord(source);
  if (!end) {
    std::array<char, kTellingBytes> begin;
    const size_t size = source.ReadAt(0, std::as_writable_bytes(std::span(begin)));
    const std::string reason = WhyNoArchive({begin.data(), size});
    throw Error(EIO, reason);
  }
  ApplyZip64(source, *end);

  // The directory ends where the records begin, wherever they say that it starts.
  if (end->location < end->directory_size) {
    throw Error(EIO, "bad offset of the central directory");
  }
  const uint64_t start = end->location - end->directory_size;
  return {.start = start,
          .size = end->directory_size,
          .shift = static_cast<__int128>(start) - static_cast<__int128>(end->directory_offset)};
}

}  // namespace skopsfs::zip
