#include "zip/extra_field.h"

#include <limits>

#include "util/error.h"
#include "zip/format.h"

namespace skopsfs::zip {
namespace {

using util::Bytes;
using util::Error;

constexpr uint64_t kIn64Bits = std::numeric_limits<uint32_t>::max();  // "see the ZIP64 field"

uint64_t TakeU64(Bytes& data, const char* what) {
  if (data.size() < sizeof(uint64_t)) {
    throw Error(EIO, std::string("corrupt ZIP64 extra field: no ") + what);
  }
  const uint64_t value = util::LoadU64(data, 0);
  data = data.subspan(sizeof(uint64_t));
  return value;
}

void ApplyZip64(Bytes data, Entry& entry, uint64_t& header_offset) {
  if (entry.size == kIn64Bits || entry.size == std::numeric_limits<uint64_t>::max()) {
    entry.size = TakeU64(data, "size");
  }
  if (entry.compressed_size == kIn64Bits) {
    entry.compressed_size = TakeU64(data, "compressed size");
  }
  if (header_offset == kIn64Bits) header_offset = TakeU64(data, "header offset");
}

// zipfile does not look at this field, so nothing in it is an error. As unzip takes it: a time from
// 2^31 on is one after 2038 if the DOS time says that, too, else none.
void ApplyTimestamp(Bytes data, uint32_t dos_time, Entry& entry) {
  constexpr std::byte kHasModificationTime{1};
  constexpr uint32_t kDos2038 = 0x74320000;  // January 18
  if (data.size() < 5 || (data[0] & kHasModificationTime) == std::byte{0}) return;
  const uint32_t seconds = util::LoadU32(data, 1);
  const bool is_believed = seconds <= INT32_MAX || dos_time >= kDos2038;
  entry.modified = is_believed ? seconds : dos_time;
  entry.has_unix_time = is_believed;
}

}  // namespace

void ApplyExtraFields(Bytes extra, Entry& entry, uint64_t& header_offset) {
  const uint32_t dos_time = entry.modified;
  while (extra.size() >= 4) {
    const uint16_t id = util::LoadU16(extra, 0);
    const size_t size = util::LoadU16(extra, 2);
    if (size > extra.size() - 4) throw Error(EIO, "corrupt extra field");
    const Bytes data = extra.subspan(4, size);
    if (id == kZip64ExtraField) ApplyZip64(data, entry, header_offset);
    if (id == kTimestampExtraField) ApplyTimestamp(data, dos_time, entry);
    extra = extra.subspan(4 + size);
  }
}

}  // namespace skopsfs::zip
