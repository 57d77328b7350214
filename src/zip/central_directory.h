#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "zip/byte_source.h"
#include "zip/end_record.h"
#include "zip/entry.h"
#include "zip/limits.h"

namespace skopsfs::zip {

// The entries of one archive in the order of its central directory, duplicates included.
// Immutable once read.
struct CentralDirectory {
  std::vector<Entry> entries;
  std::string names;   // all raw names, decoded to UTF-8, one after the other
  uint64_t start = 0;  // offset of the directory in the file

  // The whole name, as the local header must repeat it.
  std::string_view RawName(const Entry& entry) const {
    return std::string_view(names).substr(entry.name_offset, entry.raw_name_size);
  }
  // The name that zipfile shows: up to the first NUL.
  std::string_view Name(const Entry& entry) const {
    const auto raw = RawName(entry);
    return raw.substr(0, raw.find('\0'));
  }
  // The offset that the entry's data must not go beyond.
  uint64_t DataLimit(const Entry& entry) const;
};

// Reads the directory at `location`, a piece at a time. Throws util::Error(EIO) where zipfile
// raises, and util::Error(EFBIG) where the archive goes beyond `limits`.
CentralDirectory ReadCentralDirectory(const ByteSource& source, const DirectoryLocation& location,
                                      const Limits& limits = {});

}  // namespace skopsfs::zip
