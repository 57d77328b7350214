#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "util/mount_table.h"

namespace skopsfs::ctl {

// A mount in this mount namespace that is of skopsfs, or may be: one that others have made for it,
// as CSI drivers do, may have the type "fuse" only.
struct MountPoint {
  dev_t device = 0;
  std::string path = {};
  std::string source = {};  // what it says it is mounted from
  bool is_whole = true;     // else only a part of it is bound there
  bool is_certain = true;   // else only its answer tells
};

// The mounts of type fuse.skopsfs, or fuse, in the table, without those that another mount covers.
std::vector<MountPoint> FindMounts(const std::vector<util::MountEntry>& table);

// Those that this process sees. Touches none of them, since they may be dead. Throws util::Error.
std::vector<MountPoint> ReadMounts();

// Whether this device is one of these mounts. Asks those that are not certain.
bool IsOnMount(const std::vector<MountPoint>& mounts, dev_t device);

}  // namespace skopsfs::ctl
