// The part of Supervisor that goes on when a worker has ended, or cannot end.

#include <poll.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <thread>
#include <utility>

#include "handover/session_state.h"
#include "supervisor/supervisor.h"
#include "util/log.h"

namespace skopsfs::supervisor {
namespace {

constexpr auto kProven = std::chrono::seconds(10);  // of serving, for a program that is new

}  // namespace

void Supervisor::ReapWorkers() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (next_ && pid == next_->pid()) {
      OnNextEnded(status);
    } else if (current_ && pid == current_->pid()) {
      OnCurrentEnded(status);
    } else if (left_behind_.erase(pid) == 0 && !notifier_->Ended(pid, status) &&
               !closer_.Ended(pid) && metrics_server_) {
      metrics_server_->Ended(pid);
    }
  }
}

void Supervisor::OnCurrentEnded(WorkerStatus status) {
  // What it still said: descriptors that it wanted kept or dropped.
  while (current_->channel().descriptor() >= 0) {
    pollfd event{current_->channel().descriptor(), POLLIN, 0};
    if (poll(&event, 1, 0) <= 0) break;
    OnReadable(current_);
  }
  const auto ended = std::move(current_);
  const bool served = ended->stage() == WorkerProcess::Stage::kServing;
  if (served && ended->at_this_stage() > kProven) program_ = ended->program();
  const auto requests = handover::SessionState::ReadRequests(session_memory_.get());
  handover::SessionState::ForgetRequests(session_memory_.get());
  const bool well = status ? WIFEXITED(*status) && WEXITSTATUS(*status) == EXIT_SUCCESS
                           : ended->told_to_end() || !mount_->IsConnected();
  if (ending_) {
    outcome_ = true;
    return;
  }
  if (well && !ended->told_to_end()) {  // the filesystem was unmounted
    outcome_ = !mount_->IsThere();
    if (!*outcome_) GiveUp("the kernel has given the mount up (umount -f, or an abort)");
    return;
  }
  if (!well) OnCrash(*ended, status, requests);
  if (outcome_) return;
  if (!next_) {
    restarts_.Schedule();
    return;
  }
  current_ = std::move(next_);
  if (current_->stage() == WorkerProcess::Stage::kPrepared) GiveTurn(*current_);
}

// In the middle of anything. What was begun with one of the workers ends with that worker, and what
// was to be looked at is looked at again.
void Supervisor::OnNoMemory() {
  constexpr auto kPause = std::chrono::milliseconds(100);
  util::LogError("the supervisor is out of memory; it tries again");
  std::this_thread::sleep_for(kPause);
  if (ending_ && !current_) {
    outcome_ = true;
    return;
  }
  if (!current_) current_ = std::move(next_);
  if (!current_ && !restarts_.due()) restarts_.ScheduleAtOnce();
  // It has not got all that it takes over.
  if (current_ && current_->stage() == WorkerProcess::Stage::kPrepared) current_->Kill();
  watch_.LookSoon();
  raise(SIGCHLD);  // there may be more
  if (upgrade_wanted_) raise(SIGUSR2);
}

// Threads of a worker that was killed may wait for a lock whose holder waits for an answer of this
// mount, or for another filesystem that hangs. So its successor does not wait until it is reaped,
// but until none of its threads runs any more.
void Supervisor::LookAtEnds() {
  for (auto* worker : {current_.get(), next_.get()}) {
    if (worker == nullptr || !worker->RunsNoMore()) continue;
    if (left_behind_.size() >= kMostLeftBehind && !ending_) {
      if (!worker->SayHasToEnd()) continue;
      util::LogError(
          "{} workers that were killed cannot end, nor can this one: no other takes over before "
          "one of them ends",
          left_behind_.size());
      continue;
    }
    left_behind_.insert(worker->pid());
    if (worker == next_.get()) {
      OnNextEnded(std::nullopt);
    } else {
      OnCurrentEnded(std::nullopt);
    }
    return;  // the rest may be another one by now; it is looked at soon
  }
}

}  // namespace skopsfs::supervisor
