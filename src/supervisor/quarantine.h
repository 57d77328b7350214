#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "handover/channel.h"
#include "handover/identity.h"
#include "handover/session_state.h"
#include "handover/supervisor_state.h"
#include "supervisor/worker_memories.h"

namespace skopsfs::supervisor {

// Finds the archive version that makes workers crash, from what their threads were at when they
// died. A version is to blame when one of these happens:
// - Threads died of a signal of their own making, three times in a minute at that version.
// - Three workers in a row were replaced because the same request did not end, and all requests of
//   other versions did. Else it is the source that hangs.
// - Ten workers in a row died with the same request, and nothing says why. The kernel kills what
//   takes too much memory.
// Not thread-safe.
class CrashRecord {
 public:
  using Clock = std::chrono::steady_clock;

  // A worker died while its threads were at `requests`. Those that were queued do not count. When
  // memory runs out here, what was found before stays.
  void WorkerDied(const std::vector<handover::RequestSeen>& requests,
                  Clock::time_point now = Clock::now());

  // From now on the slot is not to be served.
  void Blame(uint64_t slot, const std::string& reason);
  // All slots that are not to be served, and why.
  const std::map<uint64_t, std::string>& quarantined() const { return quarantined_; }

 private:
  static constexpr size_t kMostFaults = 3;
  static constexpr auto kPeriod = std::chrono::minutes(1);
  static constexpr int kMostDeaths = 10;

  static constexpr int kMostTimeouts = 3;
  static constexpr size_t kMostQuarantined = 1000;  // whatever workers make of the records

  // How often, in a row, a request was there when a worker died.
  struct Deaths {
    int unexplained = 0;
    int timed_out = 0;
  };

  void BlameFor(const std::map<uint64_t, uint32_t>& faults, uint64_t slot, Clock::time_point now);

  std::map<uint64_t, std::deque<Clock::time_point>> faults_;  // by slot
  std::map<uint64_t, Deaths> deaths_;                         // by request, of the last worker
  std::map<uint64_t, std::string> quarantined_;               // slot and reason
};

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

  // Those that were told of, for the program that goes on, which calls Restore().
  void SaveTo(handover::SupervisorState& state) const;
  void Restore(const handover::SupervisorState& state);

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
