#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "handover/session_state.h"
#include "supervisor/stall.h"
#include "supervisor/worker_memories.h"
#include "supervisor/worker_process.h"

namespace skopsfs::supervisor {

// Judges, look after look, what threads of a worker are at: which requests take long, and for which
// of them the worker is to be replaced. One that makes progress is no reason. One that waits for
// the source or for another request is none either, since a new worker would only wait, too. That
// others make progress is no excuse. Not thread-safe.
class RequestWatch {
 public:
  using Clock = std::chrono::steady_clock;

  // A request that makes no progress for `timeout` is stuck; 0: none is.
  explicit RequestWatch(std::chrono::milliseconds timeout) : timeout_(timeout) {}

  enum class Because { kItGoesOn, kTheSource, kOthers, kItIsStuck };

  // A request that takes long. Each is told once, and again when it is stuck.
  struct Slow {
    handover::RequestSeen request;
    std::chrono::seconds age{};
    Because because{};
  };

  std::vector<Slow> Look(const std::vector<handover::RequestSeen>& requests,
                         Clock::time_point now = Clock::now());

  // As of the last look: the requests that the worker is to be replaced for, and whether some wait
  // for a source that does not answer.
  const std::vector<handover::RequestSeen>& stuck() const { return stuck_; }
  bool source_hangs() const { return source_hangs_; }

  // Another worker is looked at from now on.
  void Reset();

 private:
  // At a look, of what a worker says, which may be anything.
  static constexpr size_t kMostTold = 16;

  Because JudgeOne(const handover::RequestSeen& request, int64_t now) const;

  const std::chrono::nanoseconds timeout_;
  std::set<uint64_t> told_;  // by their numbers
  std::vector<handover::RequestSeen> stuck_;
  bool source_hangs_ = false;
};

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
