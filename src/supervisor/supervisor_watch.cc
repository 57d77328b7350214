// The part of Supervisor that judges workers: what they were at when they died, when there is to be
// another one, what takes too long.

#include <poll.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "handover/node_id.h"
#include "handover/session_state.h"
#include "supervisor/supervisor.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::supervisor {
namespace {

using handover::NodeId;
using handover::SessionState;

constexpr auto kLong = std::chrono::seconds(30);  // for requests to wait
constexpr auto kLook = std::chrono::milliseconds(5000);
constexpr auto kShortest = std::chrono::milliseconds(10);

}  // namespace

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
  TellOfCrash(Describe(status));
  util::LogError("the worker {}; another one takes over{}", Describe(status),
                 ended.program() == program_ ? "" : ", of the program from before the upgrade");
  const auto stuck = request_watch_.stuck();
  request_watch_.Reset();
  quarantine_.WorkerDied(std::move(requests), stuck);
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

// Requests that do not end are named, and may be the end of the worker.
void Supervisor::LookAtRequests() {
  using Because = RequestWatch::Because;
  const auto slow = request_watch_.Look(SessionState::ReadRequests(session_memory_.get()));
  for (const auto& [request, age, because] : slow) {
    util::LogWarning(
        "request {} of {} takes {} s{}", handover::NameOfOperation(request.operation),
        LabelOf(NodeId::From(request.node).slot, slot_memory_.get(), source_.path()), age.count(),
        because == Because::kItIsStuck   ? "; it makes no progress, so the worker is killed"
        : because == Because::kTheSource ? "; the source does not answer"
                                         : "");
  }
  if (!request_watch_.stuck().empty() || TakesNoRequests()) {
    current_->KillStuck();
    return;  // it is looked at no more
  }
  const auto timeout = worker_options_.timeout;
  const auto pause = timeout.count() > 0 ? std::min(kLook, timeout / 2 + kShortest) : kLook;
  look_at_ = Clock::now() + pause;
}

// For how long requests have waited in the kernel and no thread of the worker took one: it is
// stopped, or each is at something that does not end.
Supervisor::Clock::duration Supervisor::WaitingInVain(Stall& stall) const {
  pollfd waiting{mount_->descriptor(), POLLIN, 0};
  const bool wait = poll(&waiting, 1, 0) > 0 && (waiting.revents & POLLIN) != 0;
  const uint64_t begun = SessionState::RequestsBegun(session_memory_.get());
  const auto now = Clock::now();
  if (!wait || begun != stall.begun) {
    stall = {.begun = begun, .since = std::nullopt};
    return {};
  }
  if (!stall.since) stall.since = now;
  return now - *stall.since;
}

// Then none would take any, for as long as that lasts.
bool Supervisor::SourceHangs() const {
  return request_watch_.source_hangs() && !current_->IsStopped();
}

// True when that has lasted for longer than it may.
bool Supervisor::TakesNoRequests() {
  const auto stalled = WaitingInVain(stall_);
  const auto timeout = worker_options_.timeout;
  if (SourceHangs()) return false;  // which has been told
  const bool too_long = timeout.count() > 0 && stalled > timeout;
  if (stalled >= kLong || too_long) {
    util::LogWarning("requests wait, and the worker takes none{}",
                     too_long ? ", so it is killed" : "");
  }
  return too_long;
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
  service_.Status("no worker serves: the source does not answer");
  return true;
}

}  // namespace skopsfs::supervisor
