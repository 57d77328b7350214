#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "handover/channel.h"
#include "source/source.h"
#include "supervisor/end_watch.h"
#include "util/unique_fd.h"

namespace skopsfs::supervisor {

// How a worker has ended, as wait() says; nothing of one that was killed and cannot end.
using WorkerStatus = std::optional<int>;

// What to say of that after "the worker".
std::string Describe(WorkerStatus status);

// A worker process from its start to its end: how far it has come, and by when it must have done
// what it is to do. Owns an end of the channel to it, but not the process, which whoever starts it
// has to reap. Use from one thread.
class WorkerProcess {
 public:
  using Clock = std::chrono::steady_clock;
  using Program = std::shared_ptr<util::UniqueFd>;
  enum class Stage { kStarting, kPrepared, kTakingOver, kServing };

  static constexpr auto kKillPatience = std::chrono::seconds(2);

  // Runs `program` with these arguments. Throws util::Error.
  WorkerProcess(Program program, bool opens_source_anew, const std::vector<std::string>& arguments);

  // Goes on with one that serves, and was started by what this process was before.
  WorkerProcess(Program program, pid_t pid, handover::Channel channel);

  pid_t pid() const { return pid_; }
  const Program& program() const { return program_; }
  bool opens_source_anew() const { return opens_source_anew_; }
  const handover::Channel& channel() const { return channel_; }
  Stage stage() const { return stage_; }
  Clock::duration at_this_stage() const { return Clock::now() - since_; }
  bool told_to_end() const { return told_to_end_; }
  // Whether it serves and is to go on with that.
  bool is_to_stay() const {
    return stage_ == Stage::kServing && !told_to_end_ && !kill_at_ && !killed_ &&
           channel_.descriptor() >= 0;
  }

  // It has said that. They throw util::Error(EPROTO) when it was not to say it then.
  void Prepared(uint64_t protocol_version);
  void SourceOpened(handover::Message message);
  void Serving();

  // It was told to take over.
  void ToldToTakeOver();

  // The source as it has opened it; nothing when it has not. Throws likewise.
  std::optional<source::Source::Parts> TakeSource();

  // From now on nothing is sent to it, nor read of what it says.
  void Disconnect() { channel_ = handover::Channel(util::UniqueFd()); }

  // It is to be killed if it does not end in time.
  void TellToEnd();
  void KillSoon();
  // Whether it is time for that; says so once.
  bool IsToBeKilled();

  // It may not even end, so its threads are looked at often then.
  void Kill();

  // Whether it is time to look at its threads, and none of them ever runs again.
  bool RunsNoMore();

  // Whether it took too long to come to the next stage. With LetWait() it has time again.
  bool IsLate() const;
  void LetWait() { since_ = Clock::now(); }

  // What is said of it once: true the first time.
  bool SayHasToEnd() { return !std::exchange(said_has_to_end_, true); }
  bool SayWaitsForSource() { return !std::exchange(said_waits_for_source_, true); }

  // When to look at the earliest of all that.
  Clock::time_point due() const;

  bool IsSleeping() const;  // for whatever
  bool IsStopped() const;   // by a signal

 private:
  void Enter(Stage stage);
  std::optional<Clock::time_point> StageDeadline() const;

  const Program program_;
  const bool opens_source_anew_;
  handover::Channel channel_{util::UniqueFd()};
  pid_t pid_ = -1;
  std::optional<EndWatch> end_;
  std::optional<source::Source::Parts> source_;  // as far as it has said so
  Stage stage_ = Stage::kStarting;
  Clock::time_point since_ = Clock::now();  // when it came to that stage
  std::optional<Clock::time_point> kill_at_;
  bool told_to_end_ = false;
  bool killed_ = false;
  bool said_has_to_end_ = false;
  bool said_waits_for_source_ = false;
};

}  // namespace skopsfs::supervisor
