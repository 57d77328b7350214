#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <vector>

#include "handover/session_state.h"

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

}  // namespace skopsfs::supervisor
