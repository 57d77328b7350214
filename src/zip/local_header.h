#pragma once

#include <cstdint>

#include "zip/byte_source.h"
#include "zip/central_directory.h"

namespace skopsfs::zip {

// Reads the local header of `entry` and returns the offset of its data. Everything that would make
// its bytes doubtful is an util::Error: EIO where header and directory disagree or data overlaps,
// EACCES when encrypted, EOPNOTSUPP for a patch.
uint64_t LocateData(const ByteSource& source, const CentralDirectory& directory,
                    const Entry& entry);

}  // namespace skopsfs::zip
