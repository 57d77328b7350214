#pragma once

#include <sys/stat.h>

namespace skopsfs::source {

// A mount shows permissions as mode bits only. Where the source restricts more than its mode bits
// say, these take bits away, so that nobody gets through the mount what the source refuses.

// The mode of the file behind the O_PATH descriptor `fd` without what its POSIX access control list
// does not grant: with one, the group bits are only the list's mask, and entries for single users
// and groups may grant less than the bits for all others. When the list cannot be read, only
// what the owner may is left.
mode_t WithinAccessList(int fd, mode_t mode);

// The mode of `file`, which is reached through a symbolic link by way of `folder`, without what
// those who may not search that folder could not do.
mode_t WithinFolder(const struct stat& file, const struct stat& folder);

}  // namespace skopsfs::source
