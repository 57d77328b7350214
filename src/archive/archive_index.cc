#include "archive/archive_index.h"

#include <algorithm>

#include "archive/crc32.h"
#include "util/log.h"

namespace skopsfs::archive {
namespace {

constexpr size_t kHiddenLines = 20;  // log lines an archive; a hostile one has millions of entries

}  // namespace

ArchiveIndex::ArchiveIndex(const zip::ByteSource& source, const zip::DirectoryLocation& location,
                           const std::string& label, const zip::Limits& limits)
    : directory_(zip::ReadCentralDirectory(source, location, limits)),
      tree_(directory_, [&, lines = size_t{0}](auto name, auto reason) mutable {
        if (lines < kHiddenLines) {
          util::LogWarning("{}: member {} is not shown: {}", util::Quoted(label),
                           util::Quoted(name), reason);
        } else if (lines == kHiddenLines) {
          util::LogWarning("{}: more members are not shown", util::Quoted(label));
        }
        ++lines;
      }) {
  directory_.entries.shrink_to_fit();
  directory_.names.shrink_to_fit();
}

const zip::Entry* ArchiveIndex::EntryOf(uint32_t index) const {
  const uint32_t entry = node(index).entry;
  return entry == Node::kNoEntry ? nullptr : &directory_.entries[entry];
}

std::string ArchiveIndex::PathOf(uint32_t index) const {
  std::string path;
  for (; index != 0; index = node(index).parent) {
    const auto name = tree_.Name(node(index));
    path.insert(0, path.empty() ? std::string(name) : std::string(name) + "/");
  }
  return path;
}

std::vector<uint32_t> ArchiveIndex::MembersInFileOrder() const {
  std::vector<uint32_t> members;
  for (uint32_t index = 0; index < node_count(); ++index) {
    if (!node(index).is_directory) members.push_back(index);
  }
  std::sort(members.begin(), members.end(), [this](uint32_t a, uint32_t b) {
    return EntryOf(a)->header_offset < EntryOf(b)->header_offset;
  });
  return members;
}

size_t ArchiveIndex::memory_bytes() const {
  return sizeof(*this) + directory_.entries.capacity() * sizeof(zip::Entry) +
         directory_.names.capacity() + tree_.memory_bytes();
}

uint64_t ArchiveIndex::Fingerprint() const {
  uint64_t fingerprint = Crc32(0, std::as_bytes(std::span(directory_.names)));
  const auto mix = [&](uint64_t value) {
    fingerprint = (fingerprint ^ value) * 0x9e3779b97f4a7c15;
    fingerprint ^= fingerprint >> 32;
  };
  for (const auto& entry : directory_.entries) {
    mix(static_cast<uint64_t>(entry.header_offset));
    mix(entry.compressed_size);
    mix(entry.size);
    mix(uint64_t{entry.crc32} << 32 | uint64_t{entry.method} << 16 | entry.flags);
    mix(uint64_t{entry.name_offset} << 32 | entry.raw_name_size);
  }
  return std::max<uint64_t>(fingerprint, 1);
}

time_t ModificationTime(const zip::Entry& entry) {
  if (entry.has_unix_time != 0) return entry.modified;
  const auto date = static_cast<int>(entry.modified >> 16);
  const auto day_time = static_cast<int>(entry.modified & 0xffff);
  std::tm tm{};
  tm.tm_year = 80 + (date >> 9);
  // As unzip does, what no calendar or clock has is counted on from what they have: day 0 is the
  // one before the first. Month 0 is January.
  tm.tm_mon = std::max((date >> 5) & 15, 1) - 1;
  tm.tm_mday = date & 31;
  tm.tm_hour = day_time >> 11;
  tm.tm_min = (day_time >> 5) & 63;
  tm.tm_sec = 2 * (day_time & 31);
  tm.tm_isdst = -1;
  const time_t time = std::mktime(&tm);
  return time == -1 ? 0 : time;
}

}  // namespace skopsfs::archive
