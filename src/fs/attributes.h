#pragma once

#include <sys/stat.h>

#include "archive/archive_index.h"
#include "catalog/slot.h"

namespace skopsfs::fs {

// What stat() says of the nodes of the mount. st_ino is made from the source's path, the version's
// identity and the node's index: stable for a version across lookups and mounts, new for a new one.

// A folder of the source, or (mode r-x for each r) an archive as a directory. `path` is relative to
// the source.
struct stat SourceAttributes(const std::string& path, const struct stat& source);

// Node `index` of an open archive version, or of an npz in it, whose node 0 has the index `first`
// among all: a directory or a member.
struct stat MemberAttributes(const catalog::Slot& slot, const archive::ArchiveIndex& archive,
                             uint32_t index, uint32_t first = 0);

// by-name and the folders in it, and the links, whose targets have `target_size` bytes. `index` is
// that of the node.
struct stat NameFolderAttributes(const catalog::Slot& slot, uint32_t index);
struct stat LinkAttributes(const catalog::Slot& slot, uint32_t index, size_t target_size);

}  // namespace skopsfs::fs
