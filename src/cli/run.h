#pragma once

#include <span>
#include <string>
#include <utility>

#include "cli/options.h"
#include "metrics/prometheus.h"

namespace skopsfs::cli {

inline constexpr int kExitFailure = 1;  // cannot be mounted
inline constexpr int kExitUsage = 2;    // the command line cannot be understood

// The program as a worker, which a supervisor starts: serves a mount that the supervisor owns. The
// connection is the descriptor `supervisor`. Does not return.
[[noreturn]] void RunWorker(int supervisor, const Options& options);

// The program as a process of supervisor::NotifierProcess. Its descriptors are the mount's and the
// one that messages come from.
[[noreturn]] void RunNotifier(std::pair<int, int> descriptors);

// The program as a process of supervisor::MetricsProcess, which says what it is given.
[[noreturn]] void RunMetricsServer(std::pair<int, int> descriptors,
                                   std::span<const char* const> arguments);

// The program: parses `arguments` (without the program's name), mounts, serves. Returns the exit
// code: 0 once the mount is up in the background, or was served in front until it was unmounted.
int Run(std::span<const char* const> arguments);

// Of this program and of libfuse.
metrics::Versions ThisVersion();

// What --version prints: the version of the program and of its libraries, and which of the features
// that it uses this kernel has.
std::string VersionText();

}  // namespace skopsfs::cli
