#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skopsfs::supervisor {

// The first argument of a process of the supervisor's begins with its kind. Its descriptors follow,
// as "N" or "N,N".
inline constexpr std::string_view kWorkerProcess = "--worker=";
inline constexpr std::string_view kNotifierProcess = "--notifier=";
inline constexpr std::string_view kMetricsProcess = "--metrics-server=";
inline constexpr std::string_view kStateCheckProcess = "--check-state=";
// What this process becomes itself; see ProgramReplacement.
inline constexpr std::string_view kSupervisorProcess = "--supervisor=";

// Runs `program` (a descriptor) in a new process of that `kind`, with `arguments` after the first
// one. It gets the standard streams and `kept`, and no other descriptor; nor is it told of the
// service that this process may be. Returns the new process, or -1 with errno. That process
// allocates nothing and throws nothing, and ends with 127 when the program cannot be run. Throws
// std::bad_alloc before there is one.
pid_t Execute(int program, std::string_view kind, std::span<const int> kept,
              const std::vector<std::string>& arguments = {});

}  // namespace skopsfs::supervisor
