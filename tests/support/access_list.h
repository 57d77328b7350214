#pragma once

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/xattr.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include "support/archive_builder.h"

namespace skopsfs::testing {

// One entry of a POSIX access control list; tags and permissions as linux/posix_acl.h names them.
struct AccessEntry {
  uint16_t tag;
  uint16_t permissions;
  uint32_t id = static_cast<uint32_t>(ACL_UNDEFINED_ID);
};

// Gives the file an access control list, in the kernel's format and without libacl. The list's
// order must be the kernel's: owner, users, group, groups, mask, others. Returns false on a file
// system that has none.
inline bool SetAccessList(const std::string& path, const std::vector<AccessEntry>& entries) {
  std::string value = LittleEndian<uint32_t>(POSIX_ACL_XATTR_VERSION);
  for (const auto& entry : entries) {
    value += LittleEndian(entry.tag) + LittleEndian(entry.permissions) + LittleEndian(entry.id);
  }
  if (setxattr(path.c_str(), "system.posix_acl_access", value.data(), value.size(), 0) == 0) {
    return true;
  }
  if (errno == EOPNOTSUPP) return false;
  throw std::system_error(errno, std::generic_category(), "setxattr " + path);
}

}  // namespace skopsfs::testing
