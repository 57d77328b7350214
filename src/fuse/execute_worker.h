#pragma once

#include <string>
#include <vector>

#include "fuse/channel.h"

namespace skopsfs::fuse {

// Becomes a worker: replaces the calling process, a child of the supervisor, by the program that
// the descriptor `program` names, with these arguments and its end of the connection, `channel`.
// Nothing else that the supervisor has open, or was told by who started it, gets there. Ends the
// process when the program cannot be run.
[[noreturn]] void ExecuteWorker(const Channel& channel, int program,
                                const std::vector<std::string>& arguments);

}  // namespace skopsfs::fuse
