#include "source/permissions.h"

#include <sys/xattr.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>

#include "util/little_endian.h"

namespace skopsfs::source {
namespace {

constexpr unsigned kOwnerShift = 6;
constexpr unsigned kGroupShift = 3;
constexpr mode_t kAll = 7;
constexpr mode_t kSearch = 1;

// The attribute's format: linux/posix_acl_xattr.h.
constexpr size_t kHeaderSize = 4;
constexpr size_t kEntrySize = 8;
constexpr size_t kMostEntries = 1024;  // beyond what file systems store
enum Tag : uint16_t { kUser = 2, kGroupObject = 4, kGroup = 8, kMask = 16 };

// What one digit of a mode may at most be, as bits in place.
mode_t Digit(mode_t bits, unsigned shift) { return (bits & kAll) << shift; }
mode_t AllBut(unsigned shift) { return ~Digit(kAll, shift); }

// The group and other digits that no entry of the list goes below. The mask bounds all entries but
// those of the owner and of all others.
mode_t GrantedByList(util::Bytes list) {
  mode_t group = kAll;
  mode_t named = kAll;  // what all entries for single users and groups have
  bool has_named = false;
  mode_t mask = kAll;
  for (size_t at = kHeaderSize; at + kEntrySize <= list.size(); at += kEntrySize) {
    const mode_t bits = util::LoadU16(list, at + 2);
    const uint16_t tag = util::LoadU16(list, at);
    if (tag == kUser || tag == kGroup) {
      named &= bits;
      has_named = true;
    }
    if (tag == kGroupObject) group = bits;
    if (tag == kMask) mask = bits;
  }
  // Without such entries there is nobody whom the mask keeps from what all others may.
  const mode_t others = has_named ? named & mask : kAll;
  return (AllBut(kGroupShift) & AllBut(0)) | Digit(group & named & mask, kGroupShift) |
         Digit(others, 0);
}

}  // namespace

mode_t WithinAccessList(int fd, mode_t mode) {
  std::array<std::byte, kHeaderSize + kMostEntries * kEntrySize> list;
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = getxattr(path.c_str(), "system.posix_acl_access", list.data(), list.size());
  if (size < 0 && (errno == ENODATA || errno == EOPNOTSUPP)) return mode;  // there is none
  // One that cannot be read may refuse all but the owner.
  if (size < 0) return mode & AllBut(kGroupShift) & AllBut(0);
  return mode & GrantedByList(util::Bytes(list).first(static_cast<size_t>(size)));
}

mode_t WithinFolder(const struct stat& file, const struct stat& folder) {
  const auto may_search = [&](unsigned shift) {
    return (folder.st_mode & Digit(kSearch, shift)) != 0;
  };
  // Whoever a digit of the file's mode is for may be the folder's owner, one of its group, or
  // neither, unless the two files' owners or groups are the same.
  const bool owner = file.st_uid == folder.st_uid ? may_search(kOwnerShift)
                                                  : may_search(kGroupShift) && may_search(0);
  const bool group = may_search(kGroupShift) && (file.st_gid == folder.st_gid || may_search(0));
  const bool others = may_search(kGroupShift) && may_search(0);
  mode_t mode = file.st_mode;
  if (!owner) mode &= AllBut(kOwnerShift);
  if (!group) mode &= AllBut(kGroupShift);
  if (!others) mode &= AllBut(0);
  return mode;
}

}  // namespace skopsfs::source
