#include "zip/local_header.h"

#include <array>
#include <limits>
#include <vector>

#include "util/little_endian.h"
#include "zip/format.h"
#include "zip/name.h"

namespace skopsfs::zip {
namespace {

using util::Error;
using util::LoadU16;
using util::LoadU32;

std::string ReadLocalName(const ByteSource& source, uint64_t offset, size_t size, bool utf8) {
  std::vector<std::byte> raw(size);  // at most 64 KiB: the field has 16 bits
  raw.resize(source.ReadAt(offset, raw));
  return DecodeName({reinterpret_cast<const char*>(raw.data()), raw.size()}, utf8);
}

}  // namespace

std::optional<Error> RefusalOf(const Entry& entry) {
  if (entry.header_offset < 0) return Error(EIO, "local header lies before the file");
  if ((entry.flags & kFlagPatched) != 0) return Error(EOPNOTSUPP, "compressed patched data");
  if ((entry.flags & kFlagStrongEncryption) != 0) return Error(EACCES, "strongly encrypted");
  if (entry.size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return Error(EIO, "larger than a file can be");
  }
  if ((entry.flags & kFlagEncrypted) != 0) return Error(EACCES, "encrypted");
  if (entry.method == kMethodStored && entry.compressed_size != entry.size) {
    return Error(EIO, "stored, but its two sizes differ");
  }
  return std::nullopt;
}

uint64_t LocateData(const ByteSource& source, const CentralDirectory& directory,
                    const Entry& entry) {
  if (const auto refusal = RefusalOf(entry)) throw Error(*refusal);
  const auto start = static_cast<uint64_t>(entry.header_offset);
  std::array<std::byte, kLocalHeaderSize> header;
  if (source.ReadAt(start, header) != header.size()) throw Error(EIO, "truncated local header");
  if (LoadU32(header, 0) != kLocalHeaderSignature) {
    throw Error(EIO, "bad signature of the local header");
  }

  const size_t name_size = LoadU16(header, 26);
  const bool utf8 = (LoadU16(header, 6) & kFlagUtf8) != 0;
  if (ReadLocalName(source, start + header.size(), name_size, utf8) != directory.RawName(entry)) {
    throw Error(EIO, "names in the central directory and the local header differ");
  }
  if (LoadU16(header, 8) != entry.method) {
    throw Error(EIO, "methods in the central directory and the local header differ");
  }
  const uint64_t data = start + header.size() + name_size + LoadU16(header, 28);
  const uint64_t limit = directory.DataLimit(entry);
  if (data > limit || entry.compressed_size > limit - data) {
    throw Error(EIO, "overlaps another member or the central directory");
  }
  return data;
}

}  // namespace skopsfs::zip
