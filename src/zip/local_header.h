#pragma once

#include <cstdint>
#include <optional>

#include "util/error.h"
#include "zip/byte_source.h"
#include "zip/central_directory.h"

namespace skopsfs::zip {

// What the entry alone says against reading its data, whatever its local header is; if anything.
std::optional<util::Error> RefusalOf(const Entry& entry);

// Reads the local header of `entry` and returns the offset of its data. Everything that would make
// its bytes doubtful is an util::Error: EIO where header and directory disagree or data overlaps,
// EACCES when encrypted, EOPNOTSUPP for a patch.
uint64_t LocateData(const ByteSource& source, const CentralDirectory& directory,
                    const Entry& entry);

}  // namespace skopsfs::zip
