#pragma once

#include <utility>

namespace skopsfs::cli {

// The program as a process of fuse::NotifierProcess. Its descriptors are the mount's and the one
// that messages come from.
[[noreturn]] void RunNotifier(std::pair<int, int> descriptors);

}  // namespace skopsfs::cli
