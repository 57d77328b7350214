#pragma once

#include <span>
#include <utility>

namespace skopsfs::cli {

// Is the process that answers at --metrics-address, until its parent dies. What it is given
// fuse::MetricsProcess says.
[[noreturn]] void RunMetricsServer(std::pair<int, int> descriptors,
                                   std::span<const char* const> arguments);

}  // namespace skopsfs::cli
