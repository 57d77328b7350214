#include "ctl/mounts.h"

#include <unistd.h>

#include <algorithm>

#include "ctl/files.h"
#include "util/error.h"

namespace skopsfs::ctl {

using util::MountEntry;

std::vector<MountEntry> FindMounts(const std::vector<MountEntry>& table) {
  std::vector<MountEntry> mounts;
  for (const auto& entry : table) {
    std::erase_if(mounts, [&](const auto& other) { return other.mountpoint == entry.mountpoint; });
    if (IsCertain(entry) || entry.type == "fuse") mounts.push_back(entry);
  }
  return mounts;
}

std::vector<MountEntry> ReadMounts() {
  const auto table = util::ReadMountTable();
  if (table.empty()) throw util::ErrnoError("/proc/self/mountinfo cannot be read");
  return FindMounts(table);
}

bool IsOnMount(const std::vector<MountEntry>& mounts, dev_t device) {
  return std::any_of(mounts.begin(), mounts.end(), [&](const MountEntry& mount) {
    if (mount.device != device) return false;
    return IsCertain(mount) ||
           access(JoinPath(mount.mountpoint, ".skopsfs/health").c_str(), F_OK) == 0;
  });
}

}  // namespace skopsfs::ctl
