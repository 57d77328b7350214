#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace skopsfs::supervisor {

// Sets how far the kernel reads ahead in a mount, and thereby how much a request fetches. That is
// `wanted` KiB. Where it is not given, it is what the disk `source` of the archives has, or 512 KiB
// if that is more, and never less than before. `mount` is the mount's device as /sys names it,
// "MAJOR:MINOR". Takes root and a /sys that can be written to. Without them all stays as it is,
// which is logged when `wanted` was given. To be called once the mount is served, since the first
// answer of a server sets it anew.
void SetReadAhead(const std::string& mount, std::optional<unsigned> wanted,
                  std::optional<dev_t> source);

}  // namespace skopsfs::supervisor
