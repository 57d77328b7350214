#include "zip/sizes.h"

#include <algorithm>
#include <limits>

#include "zip/format.h"

namespace skopsfs::zip {
namespace {

// Bytes that one byte of a method can at most decode to. No slack is needed for short data: each
// method spends bytes before its first one.

// 258 bytes of a match for two bits: one for its length, one for its distance.
constexpr uint64_t kMostDeflated = 1032;
// 900,000 bytes of a block are at most 180,000 runs of 259. Its header takes 172 bits, and telling
// a run of that length 20.
constexpr uint64_t kMostBzip2 = uint64_t{180'000} * 259 / 24;
// 273 bytes of a repeated match for 14 binary choices, of which each costs 0.022 bits when the
// coder is as sure of it as it can be: 7089.4.
constexpr uint64_t kMostLzma = 7100;
// A block of 128 KiB of one byte, for four.
constexpr uint64_t kMostZstd = (uint64_t{128} << 10) / 4;

uint64_t MostOfAByte(uint16_t method) {
  switch (method) {
    case kMethodStored:
      return 1;
    case kMethodDeflated:
      return kMostDeflated;
    case kMethodLzma:
      return kMostLzma;
    case kMethodZstd:
      return kMostZstd;
    default:
      return kMostBzip2;
  }
}

// Bytes that lie between the entry's local header, without its name, and what follows it.
uint64_t Room(const CentralDirectory& directory, const Entry& entry) {
  if (entry.header_offset < 0) return 0;
  const uint64_t begin = static_cast<uint64_t>(entry.header_offset) + kLocalHeaderSize;
  const uint64_t end = directory.DataLimit(entry);
  return end > begin ? end - begin : 0;
}

}  // namespace

uint64_t MostDecoded(uint16_t method, uint64_t compressed_size) {
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  const uint64_t of_a_byte = MostOfAByte(method);
  return compressed_size > kMost / of_a_byte ? kMost : compressed_size * of_a_byte;
}

Sizes SizesOf(const CentralDirectory& directory, const Entry& entry) {
  const uint64_t held = std::min(entry.compressed_size, Room(directory, entry));
  const bool can_be = entry.size <= MostDecoded(entry.method, held);
  return {.held = held, .shown = can_be ? entry.size : held};
}

}  // namespace skopsfs::zip
