#pragma once

#include <libdeflate.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace skopsfs::archive {

// The CRC-32 of what `crc` is that of (0 for nothing), followed by `bytes`. libdeflate's uses the
// processor's carry-less multiplication, which Debian's zlib does not.
inline uint32_t Crc32(uint32_t crc, std::span<const std::byte> bytes) {
  return libdeflate_crc32(crc, bytes.data(), bytes.size());
}

}  // namespace skopsfs::archive
