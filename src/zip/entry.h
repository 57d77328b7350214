#pragma once

#include <cstdint>

namespace skopsfs::zip {

// One record of the central directory, as Python's zipfile reads it. Plain numbers; nothing in it
// has been checked against the file it came from.
struct Entry {
  int64_t header_offset = 0;     // of the local header in the file; -1: before its start
  uint64_t compressed_size = 0;  // bytes
  uint64_t size = 0;             // bytes, uncompressed
  // Data must end at or before this offset: the next local header, or the central directory.
  uint64_t data_limit = 0;
  uint32_t name_offset = 0;    // into the directory's names
  uint32_t raw_name_size = 0;  // of the whole name; it is shown up to its first NUL
  uint32_t crc32 = 0;
  uint32_t unix_mtime = 0;  // seconds (as int32), from the extended timestamp; see has_unix_mtime
  uint16_t dos_time = 0;
  uint16_t dos_date = 0;
  uint16_t method = 0;
  uint16_t flags = 0;
  bool has_unix_mtime = false;
};

}  // namespace skopsfs::zip
