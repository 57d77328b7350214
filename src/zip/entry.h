#pragma once

#include <cstdint>

namespace skopsfs::zip {

// One record of the central directory, as Python's zipfile reads it. Its numbers have not been
// checked against the file. It is small, since an archive may have a million.
struct Entry {
  int64_t header_offset = 0;     // of the local header in the file; -1: before its start
  uint64_t compressed_size = 0;  // bytes
  uint64_t size = 0;             // bytes, uncompressed
  // The entry whose local header is the next one in the file: data must end before that.
  uint32_t next = kNone;
  uint32_t name_offset = 0;  // into the directory's names
  uint32_t crc32 = 0;
  // From the extended timestamp, seconds since 1970; or else DOS date << 16 | DOS time.
  uint32_t modified = 0;
  uint16_t method = 0;
  uint16_t flags = 0;
  uint32_t raw_name_size : 31 = 0;  // of the whole name; it is shown up to its first NUL
  uint32_t has_unix_time : 1 = 0;   // what `modified` is

  static constexpr uint32_t kNone = UINT32_MAX;        // the central directory is next
  static constexpr uint32_t kLongestName = INT32_MAX;  // far beyond what a ZIP file has room for
};
static_assert(sizeof(Entry) == 48);

}  // namespace skopsfs::zip
