#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "handover/channel.h"
#include "handover/identity.h"
#include "handover/session_state.h"
#include "supervisor/crash_record.h"
#include "supervisor/worker_memories.h"

namespace skopsfs::supervisor {

// The archives that are served no more, since they made workers crash. Finds them by what workers
// died of, and tells the log and each new worker. Use from one thread.
class Quarantine {
 public:
  using Clock = std::chrono::steady_clock;

  // `memories` has to live longer.
  Quarantine(const WorkerMemories& memories, std::string source_path, bool source_is_single_archive)
      : memories_(memories),
        source_path_(std::move(source_path)),
        is_single_archive_(source_is_single_archive) {}

  // A worker died while its threads were at `requests`; it was killed because of those in `stuck`.
  void WorkerDied(std::vector<handover::RequestSeen> requests,
                  const std::vector<handover::RequestSeen>& stuck);

  // Tells the log of those that it was not told of: memory may have ended before.
  void Tell();

  // Sends them all. False when the worker did not take them by then.
  bool SendTo(const handover::Channel& worker, Clock::time_point until) const;

 private:
  const WorkerMemories& memories_;
  const std::string source_path_;
  const bool is_single_archive_;
  CrashRecord crashes_;
  // By slot, as far as they have been told of; none of a folder, which is served all the same.
  std::map<uint64_t, std::optional<handover::Identity>> told_;
};

}  // namespace skopsfs::supervisor
