#pragma once

#include <sys/stat.h>

namespace skopsfs::source {

// A mount shows permissions as mode bits only. The source may refuse more than its mode bits say.
// These functions take bits away, so that nobody gets through the mount what the source refuses.

// The mode of the file behind the O_PATH descriptor `fd`, without what its POSIX access control
// list does not grant. With a list, the group bits are only the list's mask, and entries for single
// users and groups may grant less than the bits for all others. If the list cannot be read, only
// the owner's bits are left.
mode_t WithinAccessList(int fd, mode_t mode);

// The mode of `file`, which a symbolic link reaches by way of `folder`, without the bits of those
// who may not search that folder.
mode_t WithinFolder(const struct stat& file, const struct stat& folder);

}  // namespace skopsfs::source
