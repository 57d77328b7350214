#pragma once

#include <span>

namespace skopsfs::cli {

// Is the process that answers at --metrics-address, until its parent dies. What `arguments` are
// fuse/metrics_process.h says.
[[noreturn]] void RunMetricsServer(std::span<const char* const> arguments);

}  // namespace skopsfs::cli
