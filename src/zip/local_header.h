#pragma once

#include <cstdint>
#include <optional>

#include "util/error.h"
#include "zip/byte_source.h"
#include "zip/central_directory.h"

namespace skopsfs::zip {

// Why the data cannot be read, by the entry alone; nothing when the entry does not say.
std::optional<util::Error> RefusalOf(const Entry& entry);

// Reads the local header of `entry` and returns the offset of its data. Throws util::Error when the
// data is doubtful: EIO when header and directory disagree or data overlaps, EACCES when it is
// encrypted, EOPNOTSUPP when it is a patch.
uint64_t LocateData(const ByteSource& source, const CentralDirectory& directory,
                    const Entry& entry);

}  // namespace skopsfs::zip
