#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace skopsfs::ctl {

// A mount of skopsfs that can be reached in this mount namespace, or one that may be: what others,
// as CSI drivers, have mounted for it may be called just "fuse".
struct MountPoint {
  dev_t device = 0;
  std::string path = {};
  std::string source = {};  // what it says it is mounted from
  bool is_whole = true;     // else a part of it is bound there
  bool is_certain = true;   // else only its answer tells
};

// The mounts of type fuse.skopsfs, or fuse, in the text of /proc/self/mountinfo, without those that
// another mount covers.
std::vector<MountPoint> ParseMounts(std::string_view mountinfo);

// Those of this process. Touches none of them, since they may be dead. Throws util::Error.
std::vector<MountPoint> ReadMounts();

// Whether what has this device lies on one of them. Asks those that are not certain.
bool IsOnMount(const std::vector<MountPoint>& mounts, dev_t device);

}  // namespace skopsfs::ctl
