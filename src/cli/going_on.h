#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/options.h"
#include "handover/supervisor_state.h"
#include "source/source.h"
#include "supervisor/predecessor.h"
#include "supervisor/stored_state.h"
#include "supervisor/supervisor.h"
#include "util/unique_fd.h"

namespace skopsfs::cli {

// Says in the log that the mount can be used.
void SayServing(const std::string& source, const std::string& mountpoint);

std::chrono::milliseconds TimeoutOf(const Options& options);

// Goes on with the mount of the program that this process was, which had the same arguments.
// `given` are the descriptors that it has left: the memory of the state, and itself, or -1.
supervisor::Supervisor::Outcome GoOn(std::pair<int, int> given, const Options& options,
                                     const std::vector<std::string>& arguments);

// Goes on with what the service manager has stored. Nothing when that cannot be: then the mount
// that was stored is ended.
std::optional<supervisor::Supervisor::Outcome> GoOnWithStored(
    supervisor::StoredState& stored, const Options& options,
    const std::vector<std::string>& arguments, const std::function<void()>& on_ready);

// What is found at the socket of --handover.
struct Followed {
  util::UniqueFd listener = {};  // nobody was there, and this process is from now on
  // Or the supervisor that has the mount, what it has left, and where that is mounted.
  std::optional<supervisor::Predecessor> predecessor = {};
  std::optional<handover::SupervisorState> state = {};
  std::string mountpoint = {};
};

// Waits for whoever is there to end its worker. Throws util::Error when the mount cannot be had.
Followed FollowOrListen(const Options& options, const source::Source& source);

// Serves what was found, from `source` as it is now.
supervisor::Supervisor::Outcome GoOnWith(Followed followed, const Options& options,
                                         const source::Source& source,
                                         const supervisor::Supervisor::WorkerOptions& worker,
                                         const std::function<void()>& on_ready);

}  // namespace skopsfs::cli
