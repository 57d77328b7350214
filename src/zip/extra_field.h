#pragma once

#include "util/little_endian.h"
#include "zip/entry.h"

namespace skopsfs::zip {

// Applies what the extra fields of a central directory record say: ZIP64 sizes and offset, in
// zipfile's order and with its errors (util::Error with EIO), and the modification time.
// `header_offset` is the record's own offset field, not yet shifted.
void ApplyExtraFields(util::Bytes extra, Entry& entry, uint64_t& header_offset);

}  // namespace skopsfs::zip
