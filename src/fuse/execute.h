#pragma once

#include <span>
#include <string>
#include <vector>

namespace skopsfs::fuse {

// Replaces the calling process by `program` (a descriptor), with these arguments and none of the
// other descriptors than the standard streams and `kept`. What it was given by its parent is none
// of a child's business, nor is the service that the parent may be. To be called in a new process;
// ends it with 127 when that fails.
[[noreturn]] void Execute(int program, const std::vector<std::string>& arguments,
                          std::span<const int> kept);

}  // namespace skopsfs::fuse
