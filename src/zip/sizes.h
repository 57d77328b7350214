#pragma once

#include <cstdint>

#include "zip/central_directory.h"

namespace skopsfs::zip {

// The most bytes that `compressed_size` bytes of `method` can decode to; of a method that is not
// known here, the most of any.
uint64_t MostDecoded(uint16_t method, uint64_t compressed_size);

// How large a member is, as far as its entry can be true: a few bytes may claim to be exabytes,
// which must not be what stat() says.
struct Sizes {
  uint64_t held = 0;  // bytes in the archive: what it claims, but not beyond what follows it
  // Bytes of the member: what it claims, or, when that many cannot come of those in the archive,
  // these.
  uint64_t shown = 0;
};
Sizes SizesOf(const CentralDirectory& directory, const Entry& entry);

}  // namespace skopsfs::zip
