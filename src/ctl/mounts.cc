#include "ctl/mounts.h"

#include <unistd.h>

#include <algorithm>

#include "ctl/files.h"
#include "util/error.h"

namespace skopsfs::ctl {

std::vector<MountPoint> FindMounts(const std::vector<util::MountEntry>& table) {
  std::vector<MountPoint> mounts;
  for (const auto& entry : table) {
    std::erase_if(mounts, [&](const MountPoint& other) { return other.path == entry.mountpoint; });
    const bool is_certain = entry.type == "fuse.skopsfs";
    if (!is_certain && entry.type != "fuse") continue;
    mounts.push_back({.device = entry.device,
                      .path = entry.mountpoint,
                      .source = entry.source,
                      .is_whole = entry.root == "/",
                      .is_certain = is_certain});
  }
  return mounts;
}

std::vector<MountPoint> ReadMounts() {
  const auto table = util::ReadMountTable();
  if (table.empty()) throw util::ErrnoError("/proc/self/mountinfo cannot be read");
  return FindMounts(table);
}

bool IsOnMount(const std::vector<MountPoint>& mounts, dev_t device) {
  return std::any_of(mounts.begin(), mounts.end(), [&](const MountPoint& mount) {
    if (mount.device != device) return false;
    return mount.is_certain || access(JoinPath(mount.path, ".skopsfs/health").c_str(), F_OK) == 0;
  });
}

}  // namespace skopsfs::ctl
