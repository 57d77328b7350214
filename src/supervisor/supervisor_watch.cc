// The part of Supervisor that judges workers: what they were at when they died, when there is to be
// another one, what takes too long.

#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "handover/session_state.h"
#include "supervisor/supervisor.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::supervisor {

using handover::SessionState;

bool Supervisor::KernelResends() const {
  return kernel_resends_ ? *kernel_resends_ : SessionState::KernelResends(session_memory_.get());
}

void Supervisor::OnCrash(const WorkerProcess& ended, WorkerStatus status,
                         std::vector<handover::RequestSeen> requests) {
  // The kernel has not even said hello. Unless the worker was killed, it has said why.
  if (on_ready_ && !SessionState::HasInit(session_memory_.get())) {
    const bool has_said_why = status && WIFEXITED(*status);
    return GiveUp(has_said_why ? "" : "the worker " + Describe(status));
  }
  if (!KernelResends()) {
    return GiveUp(
        fmt::format("the worker {}; this kernel is older than 6.9, so no other can take "
                    "over: the mount is given up",
                    Describe(status)));
  }
  const bool served = ended.stage() == WorkerProcess::Stage::kServing;
  if (!restarts_.WorkerCrashed(served ? std::optional(ended.at_this_stage()) : std::nullopt)) {
    return GiveUp(fmt::format("no worker can be started; the last one {}", Describe(status)));
  }
  service_.WorkerCrashed(Describe(status));
  util::LogError("the worker {}; another one takes over{}", Describe(status),
                 ended.program() == program_ ? "" : ", of the program from before the upgrade");
  quarantine_.WorkerDied(std::move(requests), watch_.TakeStuck());
}

void Supervisor::GiveUp(const std::string& reason) {
  outcome_ = false;
  if (!reason.empty()) util::LogError("{}", reason);
  service_.Stopping(reason.empty() ? "the mount is given up; the log says why" : reason);
}

void Supervisor::StartAgain() {
  restarts_.Begun();
  try {
    current_ = Start(program_, source_.is_looked_for());
  } catch (const util::Error& error) {
    if (!restarts_.StartFailed()) return GiveUp(error.what());
    util::LogError("{}", error.what());
    restarts_.Schedule();
  }
}

void Supervisor::LookAtStarts() {
  for (auto* worker : {current_.get(), next_.get()}) {
    if (worker == nullptr || !worker->IsLate()) continue;
    if (worker == current_.get() && WaitsForSource(*worker)) continue;
    util::LogError("a worker does not come up; it is killed");
    worker->KillStuck();
    worker->LetWait();
  }
}

// Whether a worker that does not come up is not to blame: it sleeps, and does nothing before it
// serves but to look at the source. Another one would wait as well.
bool Supervisor::WaitsForSource(WorkerProcess& worker) {
  if (on_ready_ || !worker.IsSleeping()) return false;
  worker.LetWait();
  if (!worker.SayWaitsForSource()) return true;
  util::LogWarning("no worker serves: the new one waits for the source {}, which does not answer",
                   util::Quoted(source_.path()));
  service_.WaitsForSource();
  return true;
}

}  // namespace skopsfs::supervisor
