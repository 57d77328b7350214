#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace skopsfs::util {

// A line of /proc/self/mountinfo: a mount in the mount namespace of this process.
struct MountEntry {
  uint64_t id = 0;  // once a mount is gone, another may be given it
  dev_t device = 0;
  std::string root = {};        // the part of the filesystem that is mounted; "/": all of it
  std::string mountpoint = {};  // absolute
  std::string type = {};        // "fuse.skopsfs"
  std::string source = {};      // what it says it is mounted from
};

// The mounts in the text of a mountinfo, in its order: of two at one mountpoint, the later one
// covers the other. Lines that are no mount are left out.
std::vector<MountEntry> ParseMountTable(std::string_view mountinfo);

// Those of this process; none, with errno, when they cannot be read. Asks no filesystem.
std::vector<MountEntry> ReadMountTable();

}  // namespace skopsfs::util
