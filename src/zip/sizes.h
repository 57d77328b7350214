#pragma once

#include <cstdint>

#include "zip/central_directory.h"

namespace skopsfs::zip {

// The most bytes that `compressed_size` bytes of `method` can decode to. For a method that is not
// known here, the most of any method.
uint64_t MostDecoded(uint16_t method, uint64_t compressed_size);

// The sizes of a member, as far as its entry can be true. A few bytes may claim to be exabytes,
// which stat() must not say.
struct Sizes {
  uint64_t held = 0;  // bytes in the archive: what it claims, but none of what follows it
  // Bytes of the member: what it claims, or `held` when the archive cannot hold that many.
  uint64_t shown = 0;
};
Sizes SizesOf(const CentralDirectory& directory, const Entry& entry);

}  // namespace skopsfs::zip
