#pragma once

#include <sys/types.h>

#include <vector>

#include "util/mount_table.h"

namespace skopsfs::ctl {

// The mounts in the table that are of skopsfs, or may be: one that others have made for it, as CSI
// drivers do, may have the type "fuse" only. Those that another mount covers are left out.
std::vector<util::MountEntry> FindMounts(const std::vector<util::MountEntry>& table);

// Else only its answer tells.
inline bool IsCertain(const util::MountEntry& mount) { return mount.type == "fuse.skopsfs"; }

// Those that this process sees. Touches none of them, since they may be dead. Throws util::Error.
std::vector<util::MountEntry> ReadMounts();

// Whether this device is one of these mounts. Asks those that are not certain.
bool IsOnMount(const std::vector<util::MountEntry>& mounts, dev_t device);

}  // namespace skopsfs::ctl
