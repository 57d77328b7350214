#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <vector>

namespace skopsfs::fuse {

// Runs `program` (a descriptor) in a new process, with these arguments and none of the other
// descriptors than the standard streams and `kept`. What this process was given by its parent is
// none of a child's business, nor is the service that it may be. Returns the new process, or -1
// with errno. That process allocates nothing and throws nothing; it ends with 127 when the program
// cannot be run. Throws std::bad_alloc before there is one.
pid_t Execute(int program, const std::vector<std::string>& arguments, std::span<const int> kept);

}  // namespace skopsfs::fuse
