#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skopsfs::supervisor {

// What this program is given as its first argument to be a process of the supervisor's, followed by
// the descriptors that it is given, as "N" or "N,N".
inline constexpr std::string_view kWorkerProcess = "--worker=";
inline constexpr std::string_view kNotifierProcess = "--notifier=";
inline constexpr std::string_view kMetricsProcess = "--metrics-server=";

// Runs `program` (a descriptor) in a new process of that `kind`, with these arguments after the
// first one and none of the other descriptors than the standard streams and `kept`. What this
// process was given by its parent is none of a child's business, nor is the service that it may be.
// Returns the new process, or -1 with errno. That process allocates nothing and throws nothing; it
// ends with 127 when the program cannot be run. Throws std::bad_alloc before there is one.
pid_t Execute(int program, std::string_view kind, std::span<const int> kept,
              const std::vector<std::string>& arguments = {});

}  // namespace skopsfs::supervisor
