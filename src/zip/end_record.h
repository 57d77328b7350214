#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "zip/byte_source.h"

namespace skopsfs::zip {

// Where the central directory lies.
struct DirectoryLocation {
  uint64_t start = 0;  // offset of its first byte in the archive file
  uint64_t size = 0;   // bytes; start + size lies within the file
  // What must be added to the offsets that the directory gives: the length of data prepended to
  // the archive. Negative when the end record claims a later start than there is room for.
  __int128 shift = 0;
};

// Finds the end record as Python's zipfile does: the last signature in the last 64 KiB + 22 bytes,
// ZIP64 records before it, which must be consistent since the fix of CVE-2025-8291. Throws
// util::Error(EIO) where zipfile raises.
DirectoryLocation FindCentralDirectory(const ByteSource& source);

// Why a file without an end record is no archive, from its first kTellingBytes. Of files that
// people take for an archive it says what they are.
inline constexpr size_t kTellingBytes = 256;
const char* WhyNoArchive(std::string_view begin);

}  // namespace skopsfs::zip
