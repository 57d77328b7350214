#pragma once

#include <string_view>

namespace skopsfs::cli {

// Is the process that answers at --metrics-address (see fuse/metrics_process.h), until its parent
// dies. `descriptors` are those of the counters and of who waits for it to serve, as "N,N".
[[noreturn]] void RunMetricsServer(std::string_view descriptors, std::string_view address);

}  // namespace skopsfs::cli
