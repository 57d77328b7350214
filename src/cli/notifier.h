#pragma once

#include <string_view>

namespace skopsfs::cli {

// The program as a process of fuse::NotifierProcess. `descriptors`: "MOUNT,MESSAGES", two numbers.
[[noreturn]] void RunNotifier(std::string_view descriptors);

}  // namespace skopsfs::cli
