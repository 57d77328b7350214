#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>

namespace skopsfs::util {

using Bytes = std::span<const std::byte>;

// The little-endian integer at `offset` of `bytes`. Callers check lengths where a short record is
// possible input; going past the end here is a bug and throws std::out_of_range.
template <typename T>
T LoadLittleEndian(Bytes bytes, size_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) {
    throw std::out_of_range("LoadLittleEndian");
  }
  T value = 0;
  for (size_t i = sizeof(T); i-- > 0;) {
    value = static_cast<T>((static_cast<uint64_t>(value) << 8) |
                           std::to_integer<uint64_t>(bytes[offset + i]));
  }
  return value;
}

inline uint16_t LoadU16(Bytes bytes, size_t offset) {
  return LoadLittleEndian<uint16_t>(bytes, offset);
}
inline uint32_t LoadU32(Bytes bytes, size_t offset) {
  return LoadLittleEndian<uint32_t>(bytes, offset);
}
inline uint64_t LoadU64(Bytes bytes, size_t offset) {
  return LoadLittleEndian<uint64_t>(bytes, offset);
}

}  // namespace skopsfs::util
