// The part of Supervisor that has one worker follow another: after its end, for another program, or
// for a source that has to be opened anew.

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "supervisor/supervisor.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::supervisor {
namespace {

using handover::Tell;
using util::UniqueFd;

constexpr auto kHandOverPatience = std::chrono::seconds(5);
constexpr auto kProven = std::chrono::seconds(10);  // of serving, for a program that is new

}  // namespace

bool Supervisor::Serves() const {
  return current_ && current_->stage() == WorkerProcess::Stage::kServing;
}

std::unique_ptr<WorkerProcess> Supervisor::Start(WorkerProcess::Program program,
                                                 bool opens_source_anew) {
  auto worker = std::make_unique<WorkerProcess>(std::move(program), opens_source_anew,
                                                worker_options_.arguments);
  const auto& channel = worker->channel();
  channel.Send(Tell::kHello, handover::kProtocolVersion);
  channel.Send(Tell::kMount, mount_->is_passed() ? 1 : 0, mount_->device(), mount_->descriptor(),
               mount_options_.mountpoint);
  memories_.SendTo(channel);
  channel.Send(Tell::kNotifier, 0, 0, notifier_->sender());
  source_.SendTo(channel, opens_source_anew);
  channel.Send(Tell::kUser, worker_options_.user.ids.uid, worker_options_.user.ids.gid, -1,
               worker_options_.user.stays ? "stays" : "required");
  return worker;
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
    worker->Kill();
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

void Supervisor::Upgrade() {
  if (ending_) return;
  // A worker that is starting or ending comes first, as does who takes the mount over.
  upgrade_wanted_ = next_ || !Serves();
  if (upgrade_wanted_) return;
  if (!memories_.KernelResends()) {
    util::LogError("no upgrade: this kernel is older than 6.9; restart skopsfs");
    return;
  }
  if (left_behind_.size() >= kMostLeftBehind) {
    util::LogError("no upgrade: {} workers that were killed cannot end", left_behind_.size());
    return;
  }
  UniqueFd program(open(program_path_.c_str(), O_PATH | O_CLOEXEC));
  if (!program) {
    util::LogError("no upgrade: {}: {}", util::Quoted(program_path_),
                   std::generic_category().message(errno));
    return;
  }
  util::LogInfo("a new worker is started to take over");
  try {
    next_ = Start(std::make_shared<UniqueFd>(std::move(program)), source_.MayBeOpenedAnew());
  } catch (const std::exception& error) {
    util::LogError("no upgrade: {}; the old worker stays", error.what());
  }
}

void Supervisor::ReplaceThisProgram() {
  if (ending_) return replacement_.Cancel();
  // Children that close descriptors share those of this process until it becomes another program.
  const bool is_quiet = !next_ && current_ && current_->is_to_stay();
  const bool is_handing_over = successor_.stage() != Successor::Stage::kNone;
  if (!is_quiet || !closer_.is_idle() || store_.due() || is_handing_over) {
    return replacement_.Postpone();
  }
  if (!replacement_.is_checked()) return replacement_.Check(State());
  util::TellLeftOutLines();
  const auto state = State();
  // The new program starts its own.
  notifier_->Kill();
  if (metrics_server_) metrics_server_->Kill();
  replacement_.Execute(state);
  if (metrics_server_) metrics_server_->StartSoon();
}

void Supervisor::LookForSource() {
  source_.Looked();
  if (ending_ || next_ || !Serves()) return;
  try {
    next_ = Start(current_->program(), true);
  } catch (const std::exception& error) {
    util::LogError("{}", error.what());
  }
}

void Supervisor::OnPrepared(WorkerProcess& worker, uint64_t version) {
  worker.Prepared(version);
  if (auto opened = worker.TakeSource()) source_.Replace(std::move(*opened));
  if (predecessor_) predecessor_->SayReady();
  if (&worker == current_.get()) return HandOver(worker);
  if (!current_) return;
  // What serves now finishes what it has; the kernel keeps the rest for the new one.
  current_->TellToEnd();
}

void Supervisor::HandOver(WorkerProcess& worker) {
  if (predecessor_ && !predecessor_->LetsServe()) return;
  quarantine_.Tell();
  // One that takes each message only just in time is not waited for.
  const auto end = Clock::now() + kHandOverPatience;
  ++generation_;
  Store();
  const bool good = kept_.SendTo(worker.channel(), end) &&
                    quarantine_.SendTo(worker.channel(), end) &&
                    worker.channel().Send(Tell::kServe, generation_);
  if (!good) worker.Kill();  // it does not listen
  worker.ToldToTakeOver();
}

void Supervisor::OnServing(WorkerProcess& worker) {
  if (worker.stage() == WorkerProcess::Stage::kServing) return;
  worker.Serving();
  watch_.Begin();
  if (worker.program() != program_) {
    util::LogInfo("the upgrade is done: the new worker serves");
    replacement_.Schedule(worker.program(), kProven);
  }
  if (worker.opens_source_anew()) source_.Found();
  if (predecessor_) {
    predecessor_->SayServing();
    predecessor_.reset();
    mount_->BelongsToThisProcess(true);
    if (metrics_server_) metrics_server_->StartSoon();
  }
  if (upgrade_wanted_) Upgrade();
  if (!on_ready_) return service_.Serving();
  memories_.FixKernelResends();
  Store();
  on_ready_();
  on_ready_ = nullptr;
  service_.Ready();
  if (!memories_.KernelResends()) {
    util::LogWarning("this kernel is older than 6.9: if the worker dies, the mount is given up");
  }
}

// For the next start, if that can go on with this mount.
void Supervisor::Store() {
  const bool is_ours = !mount_->is_passed() && mount_->found() &&
                       !std::ranges::count(mount_options_.options, "auto_unmount");
  if (!store_.is_there() || !is_ours || !memories_.KernelResends()) return;
  try {
    store_.Save(State());
  } catch (const util::Error& error) {
    util::LogWarning("the mount cannot be stored for the next start: {}", error.what());
  }
}

void Supervisor::OnProcessesEnded() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (next_ && pid == next_->pid()) {
      OnNextEnded(status);
    } else if (current_ && pid == current_->pid()) {
      OnCurrentEnded(status);
    } else if (left_behind_.erase(pid) == 0 && !notifier_->Ended(pid, status) &&
               !closer_.Ended(pid) && !replacement_.Ended(pid, status) && metrics_server_) {
      metrics_server_->Ended(pid);
    }
  }
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

void Supervisor::OnNextEnded(WorkerStatus status) {
  // One that looks for the source has said what it found.
  const auto ended = std::exchange(next_, nullptr);
  if (!ending_ && !(current_ && ended->program() == current_->program())) {
    util::LogError("no upgrade: the new worker {}; the old one stays", Describe(status));
  }
  if (upgrade_wanted_) Upgrade();
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
  if (served && ended->at_this_stage() > kProven) {
    program_ = ended->program();
  } else {
    replacement_.Cancel();
  }
  auto requests = memories_.TakeRequests();
  const bool well = status ? WIFEXITED(*status) && WEXITSTATUS(*status) == EXIT_SUCCESS
                           : ended->told_to_end() || !mount_->IsConnected();
  if (ending_) {
    outcome_ = Outcome::kEnded;
    return;
  }
  if (well && !ended->told_to_end()) {  // the filesystem was unmounted
    outcome_ = Outcome::kEnded;
    if (mount_->IsThere()) GiveUp("the kernel has given the mount up (umount -f, or an abort)");
    return;
  }
  if (!well) OnCrash(*ended, status, std::move(requests));
  if (outcome_) return;
  if (!next_) {
    if (successor_.stage() == Successor::Stage::kAsks && ended->told_to_end())
      return HandMountOver();
    restarts_.Schedule();
    return;
  }
  current_ = std::move(next_);
  if (current_->stage() == WorkerProcess::Stage::kPrepared) HandOver(*current_);
}

void Supervisor::OnCrash(const WorkerProcess& ended, WorkerStatus status,
                         std::vector<handover::RequestSeen> requests) {
  // The kernel has not even said hello. Unless the worker was killed, it has said why.
  if (on_ready_ && !memories_.HasInit()) {
    const bool has_said_why = status && WIFEXITED(*status);
    return GiveUp(has_said_why ? "" : "the worker " + Describe(status));
  }
  if (!memories_.KernelResends()) {
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

}  // namespace skopsfs::supervisor
