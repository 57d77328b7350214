#pragma once

#include <sys/types.h>

#include <string>

namespace skopsfs::fuse {

// Has the kernel read as far ahead in a mount as on the disk `source` that its archives lie on, if
// that is further than it does now: one request then fetches more. `mount` is the mount's device as
// /sys names it, "MAJOR:MINOR". Best effort: takes root and a /sys that can be written to, and a
// source whose device the kernel knows, or all stays as it is. To be called once the mount is
// served, for the first answer of a server sets it anew.
void TakeOverReadAhead(dev_t source, const std::string& mount);

}  // namespace skopsfs::fuse
