#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "handover/session_state.h"
#include "supervisor/request_watch.h"
#include "supervisor/stall.h"
#include "supervisor/worker_memories.h"
#include "supervisor/worker_process.h"

namespace skopsfs::supervisor {

// Looks now and then at the worker that serves. Tells the log which requests take long, and says
// when that worker is to be killed. Use from one thread.
class WorkerWatch {
 public:
  using Clock = std::chrono::steady_clock;

  // A request that gets nowhere for `timeout` is the end of its worker; 0: none is. `memories` has
  // to live longer.
  WorkerWatch(std::chrono::milliseconds timeout, const WorkerMemories& memories,
              std::string source_path)
      : timeout_(timeout),
        memories_(memories),
        source_path_(std::move(source_path)),
        requests_(timeout) {}

  // Another worker serves from now on.
  void Begin();

  // When to look next; nothing when there is no need.
  std::optional<Clock::time_point> due() const { return due_; }
  void LookSoon() { due_ = Clock::now(); }

  // Whether the worker is to be killed; else it is looked at again in a while. `requests_wait`: in
  // the kernel, for some worker to take them.
  bool Look(const WorkerProcess& worker, bool requests_wait);
  // None serves, so there is nothing to look at.
  void Stop() { due_.reset(); }

  // As of the last look: the worker runs, and requests of it wait for a source that does not
  // answer. Then it may take no others, for as long as that lasts.
  bool SourceHangs(const WorkerProcess& worker) const;

  // The requests that the worker was to be killed for. They are told once.
  std::vector<handover::RequestSeen> TakeStuck();

 private:
  void TellOfSlowRequests();
  bool TakesNone(const WorkerProcess& worker, bool requests_wait);

  const std::chrono::milliseconds timeout_;
  const WorkerMemories& memories_;
  const std::string source_path_;
  RequestWatch requests_;
  Stall stall_;
  std::optional<Clock::time_point> due_;
};

}  // namespace skopsfs::supervisor
