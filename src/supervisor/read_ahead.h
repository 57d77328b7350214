#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace skopsfs::supervisor {

// Sets how far the kernel reads ahead in a mount, and thereby how much a request fetches: to
// `wanted` KiB; if that is not given, to what it is on the disk `source` that the archives lie on,
// or to 512 KiB if that is more, but never to less than it is. `mount` is the mount's device as
// /sys names it, "MAJOR:MINOR". Takes root and a /sys that can be written to: without them all
// stays as it is, which is logged when it was asked for. To be called once the mount is served, for
// the first answer of a server sets it anew.
void SetReadAhead(const std::string& mount, std::optional<unsigned> wanted,
                  std::optional<dev_t> source);

}  // namespace skopsfs::supervisor
