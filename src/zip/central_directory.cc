#include "zip/central_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "util/error.h"
#include "util/little_endian.h"
#include "zip/extra_field.h"
#include "zip/format.h"
#include "zip/name.h"

namespace skopsfs::zip {
namespace {

using util::Bytes;
using util::Error;
using util::LoadU16;
using util::LoadU32;

// Hands out consecutive pieces of one region of a source, reading ahead in blocks.
class RegionReader {
 public:
  RegionReader(const ByteSource& source, uint64_t start, uint64_t size)
      : source_(source), next_(start), left_(size) {}

  // The next `count` bytes; fewer only where the region ends. Valid until the next call.
  Bytes Take(size_t count) {
    if (buffer_.size() - used_ < count) Refill(count);
    const size_t taken = std::min(count, buffer_.size() - used_);
    const Bytes bytes = Bytes(buffer_).subspan(used_, taken);
    used_ += taken;
    return bytes;
  }

 private:
  static constexpr size_t kBlock = size_t{256} << 10;

  void Refill(size_t wanted) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(used_));
    used_ = 0;
    const size_t have = buffer_.size();
    const auto more = static_cast<size_t>(std::min<uint64_t>(left_, std::max(kBlock, wanted)));
    buffer_.resize(have + more);
    if (source_.ReadAt(next_, std::span(buffer_).subspan(have)) != more) {
      throw Error(EIO, "the archive became shorter while it was read");
    }
    next_ += more;
    left_ -= more;
  }

  const ByteSource& source_;
  uint64_t next_;
  uint64_t left_;
  std::vector<std::byte> buffer_;
  size_t used_ = 0;
};

// The offset in the file; -1 when it lies before the start. Offsets past any file stay past it.
int64_t ShiftedOffset(uint64_t offset, __int128 shift) {
  const __int128 shifted = static_cast<__int128>(offset) + shift;
  if (shifted < 0) return -1;
  return static_cast<int64_t>(std::min<__int128>(shifted, std::numeric_limits<int64_t>::max()));
}

void AppendName(CentralDirectory& directory, Entry& entry, Bytes raw, const Limits& limits) {
  const std::string_view text(reinterpret_cast<const char*>(raw.data()), raw.size());
  const std::string name = DecodeName(text, (entry.flags & kFlagUtf8) != 0);
  if (name.size() > limits.name_bytes - directory.names.size()) {
    throw Error(EFBIG, fmt::format("the names of its members are longer than the limit of {} MiB",
                                   limits.name_bytes >> 20));
  }
  entry.name_offset = static_cast<uint32_t>(directory.names.size());
  entry.raw_name_size = static_cast<uint32_t>(name.size()) & Entry::kLongestName;
  directory.names += name;
}

// Reads one record; returns how long it says it is. Like zipfile, takes a name, extra field or
// comment that runs past the end of the directory for as long as there is.
uint64_t ReadEntry(RegionReader& reader, CentralDirectory& directory, __int128 shift,
                   const Limits& limits) {
  const Bytes header = reader.Take(kCentralHeaderSize);
  if (header.size() != kCentralHeaderSize) throw Error(EIO, "truncated central directory");
  if (LoadU32(header, 0) != kCentralHeaderSignature) {
    throw Error(EIO, "bad signature in the central directory");
  }
  Entry entry{.compressed_size = LoadU32(header, 20),
              .size = LoadU32(header, 24),
              .crc32 = LoadU32(header, 16),
              .modified = LoadU32(header, 12),
              .method = LoadU16(header, 10),
              .flags = LoadU16(header, 8)};
  // One byte: the other half of the field is the system it was written for.
  const auto version_needed = std::to_integer<uint8_t>(header[6]);
  const size_t name_size = LoadU16(header, 28);
  const size_t extra_size = LoadU16(header, 30);
  const size_t comment_size = LoadU16(header, 32);
  uint64_t header_offset = LoadU32(header, 42);

  AppendName(directory, entry, reader.Take(name_size), limits);
  if (version_needed > kHighestVersionNeeded) {
    throw Error(EIO, "needs a newer version of ZIP than 6.3");
  }
  ApplyExtraFields(reader.Take(extra_size), entry, header_offset);
  reader.Take(comment_size);
  entry.header_offset = ShiftedOffset(header_offset, shift);
  directory.entries.push_back(entry);
  return kCentralHeaderSize + name_size + extra_size + comment_size;
}

// zipfile's rule: an entry's data ends where the next local header begins. Entries that share a
// local header leave room for the first of them only.
void LinkInFileOrder(std::vector<Entry>& entries) {
  std::vector<uint32_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0);
  // Nearly every archive lists its members as they follow one another.
  const auto unordered = std::adjacent_find(
      entries.begin(), entries.end(),
      [](const Entry& a, const Entry& b) { return a.header_offset >= b.header_offset; });
  if (unordered == entries.end()) {
    std::reverse(order.begin(), order.end());
  } else {
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      return entries[a].header_offset > entries[b].header_offset;
    });
  }
  uint32_t next = Entry::kNone;
  for (const uint32_t i : order) entries[i].next = std::exchange(next, i);
}

}  // namespace

uint64_t CentralDirectory::DataLimit(const Entry& entry) const {
  if (entry.next == Entry::kNone) return start;
  // zipfile lets data run past the start of the central directory when another entry claims to
  // begin there; we never do.
  const int64_t limit = entries[entry.next].header_offset;
  return limit < 0 ? 0 : std::min(static_cast<uint64_t>(limit), start);
}

CentralDirectory ReadCentralDirectory(const ByteSource& source, const DirectoryLocation& location,
                                      const Limits& limits) {
  if (location.size > limits.central_directory_bytes) {
    throw Error(EFBIG, fmt::format("its central directory is larger than the limit of {} MiB",
                                   limits.central_directory_bytes >> 20));
  }
  CentralDirectory directory;
  directory.start = location.start;
  RegionReader reader(source, location.start, location.size);
  for (uint64_t total = 0; total < location.size;) {
    if (directory.entries.size() == limits.entries) {
      throw Error(EFBIG, fmt::format("it has more members than the limit of {}", limits.entries));
    }
    total += ReadEntry(reader, directory, location.shift, limits);
  }
  LinkInFileOrder(directory.entries);
  return directory;
}

}  // namespace skopsfs::zip
