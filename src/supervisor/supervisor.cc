#include "supervisor/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <new>
#include <thread>
#include <utility>

#include "supervisor/oom_score.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::supervisor {
namespace {

using handover::Message;
using handover::Tell;
using util::Duplicate;
using util::ErrnoError;
using util::Error;
using util::UniqueFd;

constexpr auto kStorePatience = std::chrono::seconds(2);  // with a manager that takes no messages
constexpr auto kPauseAfterFailure = std::chrono::milliseconds(100);
// All others but SIGUSR1 and SIGUSR2 are ignored: none is a reason to leave a dead mount.
constexpr std::array<uint32_t, 6> kEnds = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPWR, SIGXCPU};

}  // namespace

Supervisor::Supervisor(const source::Source& source, const MountOptions& mount,
                       WorkerOptions worker, const std::string& metrics_address, UniqueFd listener,
                       std::function<void()> on_ready)
    : mount_options_(mount),
      worker_options_(std::move(worker)),
      on_ready_(std::move(on_ready)),
      source_(source, mount_options_),
      quarantine_(memories_, source_.path(), source_.is_single_archive()),
      watch_(worker_options_.timeout, memories_, source_.path()),
      replacement_(worker_options_.arguments),
      successor_(std::move(listener)),
      service_(source_.path(), mount_options_.mountpoint) {
  if (metrics_address.empty()) return;
  metrics_server_.emplace(metrics_address, mount_options_, memories_.metrics());
}

Supervisor::Supervisor(const handover::SupervisorState& state, const MountOptions& mount,
                       WorkerOptions worker, const std::string& metrics_address,
                       std::optional<Predecessor> predecessor, std::function<void()> on_ready)
    : mount_options_(mount),
      worker_options_(std::move(worker)),
      on_ready_(std::move(on_ready)),
      source_(state, mount_options_),
      memories_(Duplicate(state.session), Duplicate(state.slots), Duplicate(state.counters),
                state.kernel_resends),
      program_path_(state.program_path),
      left_behind_(state.left_behind.begin(), state.left_behind.end()),
      generation_(state.generation),
      quarantine_(memories_, source_.path(), source_.is_single_archive()),
      watch_(worker_options_.timeout, memories_, source_.path()),
      replacement_(worker_options_.arguments),
      successor_(state.is_followed ? Duplicate(state.listener) : UniqueFd()),
      predecessor_(std::move(predecessor)),
      service_(source_.path(), mount_options_.mountpoint) {
  quarantine_.Restore(state);
  service_.Restore(state);
  if (!metrics_address.empty()) {
    metrics_server_.emplace(metrics_address, mount_options_, memories_.metrics());
  }
  if (state.worker_pid) {
    current_ = std::make_unique<WorkerProcess>(
        std::make_shared<UniqueFd>(Duplicate(state.worker_program)), *state.worker_pid,
        handover::Channel(Duplicate(state.worker_channel)));
  }
  std::optional<FoundMount> found;
  if (state.mount_id && state.mount_device) {
    found = {*state.mount_id, *state.mount_device, state.unique_mount_id};
  }
  auto sender = Duplicate(state.notification_sender);
  auto receiver = Duplicate(state.notification_receiver);
  store_.Restore(state);
  kept_.MakeRoom(state);
  // The last that can fail: without this object nobody unmounts.
  mount_ = std::make_unique<Mount>(mount_options_, Duplicate(state.fuse), found);
  if (predecessor_) mount_->BelongsToThisProcess(false);
  notifier_.emplace(mount_->descriptor(), std::move(sender), std::move(receiver));
  kept_.Take(state);
}

sigset_t Supervisor::HoldSignals() {
  sigset_t set;
  sigfillset(&set);
  // A program that is broken ends, and leaves its core; a terminal stops whom it stops.
  for (const int other : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGTSTP,
                          SIGTTIN, SIGTTOU, SIGCONT}) {
    sigdelset(&set, other);
  }
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return set;
}

void Supervisor::WaitForEnd() {
  HoldSignals();
  sigset_t ends;
  sigemptyset(&ends);
  for (const auto number : kEnds) sigaddset(&ends, static_cast<int>(number));
  ServiceManager manager;
  manager.Status("another server has the mount; this one waits to be told to end");
  constexpr timespec kPause{.tv_sec = 1, .tv_nsec = 0};
  while (sigtimedwait(&ends, nullptr, &kPause) < 0) {
    if (manager.due() && Clock::now() >= *manager.due()) manager.Beat(true);
  }
}

Supervisor::Outcome Supervisor::Run() {
  // Blocked from here on, so that none can end the process and leave a dead mount. Processes that
  // are started have them blocked, too: they are for this one.
  const auto signals = HoldSignals();
  SpareSupervisor();
  // The program as it is now, and where the next one will be.
  std::error_code failed;
  if (!mount_) program_path_ = std::filesystem::read_symlink("/proc/self/exe", failed).string();
  if (current_) {
    program_ = current_->program();
  } else {
    program_ = std::make_shared<UniqueFd>(open("/proc/self/exe", O_PATH | O_CLOEXEC));
    if (!*program_) throw ErrnoError("finding this program in /proc");
  }
  signals_.Reset(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) throw ErrnoError("signalfd");
  if (mount_) {
    GoOn();
  } else {
    MountAndStart();
  }
  while (!outcome_) {
    try {
      Loop();
    } catch (const std::exception& error) {
      if (predecessor_ && predecessor_->descriptor() >= 0) throw;  // it goes on with the mount
      if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
        util::LogError("the supervisor is out of memory; it tries again");
      } else {
        util::LogError("the supervisor has failed: {}; it tries again", error.what());
      }
      GoOnAfterFailure();
    }
  }
  if (*outcome_ == Outcome::kEnded && !ending_) service_.Stopping("it was unmounted");
  if (leaving_ && *outcome_ == Outcome::kEnded) {
    store_.SendAll(kStorePatience);
    mount_->BelongsToThisProcess(false);
    return *outcome_;
  }
  // Whoever waits for an answer would wait for ever.
  if (*outcome_ == Outcome::kGivenUp || current_ || !left_behind_.empty()) mount_->Abort();
  mount_->Unmount();
  store_.Clear();
  store_.SendAll(kStorePatience);
  return *outcome_;
}

void Supervisor::MountAndStart() {
  if (metrics_server_) metrics_server_->Start(program_->get());
  mount_ = std::make_unique<Mount>(mount_options_);
  // Before anything can be opened: a file keeps what there was then.
  mount_->SetReadAhead(source_.device());
  notifier_.emplace(mount_->descriptor());
  current_ = Start(program_, false);
}

void Supervisor::GoOn() {
  if (std::exchange(end_wanted_, false)) raise(SIGTERM);
  prctl(PR_SET_NAME, "skopsfs");  // else it is the number of a descriptor
  watch_.Begin();
  if (!predecessor_ && metrics_server_) metrics_server_->StartSoon();
  if (!on_ready_) service_.Serving();
  if (!current_) restarts_.ScheduleAtOnce();
  raise(SIGCHLD);  // some may have ended meanwhile
}

void Supervisor::Loop() {
  std::array<pollfd, 7> events = {
      pollfd{signals_.get(), POLLIN, 0},
      pollfd{current_ ? current_->channel().descriptor() : -1, POLLIN, 0},
      pollfd{next_ ? next_->channel().descriptor() : -1, POLLIN, 0},
      pollfd{successor_.has_state() ? -1 : notifier_->descriptor(), POLLIN, 0},
      pollfd{metrics_server_ ? metrics_server_->descriptor() : -1, POLLIN, 0},
      pollfd{predecessor_ ? -1 : successor_.descriptor(), POLLIN, 0},
      pollfd{predecessor_ ? predecessor_->descriptor() : -1, POLLIN, 0}};
  if (poll(events.data(), events.size(), Timeout()) < 0 && errno != EINTR) {
    util::LogError("waiting for what happens fails: {}", strerrordesc_np(errno));
    std::this_thread::sleep_for(kPauseAfterFailure);
    events[0].revents = POLLIN;  // it can be told to end all the same
  }
  if (events[1].revents != 0) OnReadable(current_);
  if (events[2].revents != 0) OnReadable(next_);
  if (events[0].revents != 0) OnSignals();
  if (events[3].revents != 0) notifier_->Start(program_->get());
  if (events[4].revents != 0) metrics_server_->OnReadable();
  if (events[5].revents != 0) OnSuccessor();
  if (events[6].revents != 0) OnPredecessor();
  OnDeadlines();
}

// Milliseconds until the next deadline.
int Supervisor::Timeout() const {
  auto first = Clock::time_point::max();
  const auto consider = [&](std::optional<Clock::time_point> time) {
    first = std::min(first, time.value_or(first));
  };
  for (const auto& time : {restarts_.due(), watch_.due(), leave_at_, source_.look_at(),
                           service_.due(), replacement_.due(), store_.due(), successor_.due()}) {
    consider(time);
  }
  if (metrics_server_) consider(metrics_server_->due());
  for (const auto* worker : {current_.get(), next_.get()}) {
    if (worker != nullptr) consider(worker->due());
  }
  if (first == Clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(first - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
}

void Supervisor::OnSignals() {
  signalfd_siginfo info{};
  while (read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo == SIGCHLD) {
      OnProcessesEnded();
    } else if (info.ssi_signo == SIGUSR2) {
      Upgrade();
    } else if (info.ssi_signo == SIGUSR1) {
      LeaveToNextStart();
    } else if (std::ranges::find(kEnds, info.ssi_signo) != kEnds.end()) {
      End();
    }
  }
}

void Supervisor::OnReadable(std::unique_ptr<WorkerProcess>& worker) {
  std::optional<Message> message;
  try {
    message = worker->channel().Receive();
    if (message) {
      OnMessage(*worker, *message);
      return closer_.Close(std::move(message->fd));  // which nobody wanted
    }
  } catch (const std::exception& error) {  // of its making, or no memory for what it said
    util::LogError("the worker: {}", error.what());
    worker->Kill();
  }
  // It has ended, or ends; its process is reaped when that is so. One that goes on is not wanted.
  worker->Disconnect();
  if (worker == current_) worker->KillSoon();
}

void Supervisor::OnMessage(WorkerProcess& worker, Message& message) {
  switch (message.tell) {
    case Tell::kPrepared:
      return OnPrepared(worker, message.number);
    case Tell::kServing:
      return OnServing(worker);
    case Tell::kKeep:
      return kept_.Keep(message.number, message.slot, std::move(message.fd));
    case Tell::kDrop:
      return kept_.Drop(message.number);
    case Tell::kSource:
    case Tell::kSourcePath:
      return worker.SourceOpened(std::move(message));
    case Tell::kSourceGone:
      return source_.Gone(memories_.KernelResends() && source_.MayBeOpenedAnew());
    case Tell::kLog:
      // One after the other that finds the source gone says so; once is enough.
      if (source_.is_looked_for() && &worker == next_.get() && source_.IsSaidAgain(message.text)) {
        return;
      }
      util::WriteLog(static_cast<util::LogLevel>(std::min<uint64_t>(message.number, 2)),
                     message.text, util::LogOrigin::kWorker);
      return;
    default:
      throw Error(EPROTO, "it sent a message that a worker does not send");
  }
}

void Supervisor::OnDeadlines() {
  LookAtEnds();
  notifier_->Look();
  if (outcome_) return;
  util::TellLeftOutLines();
  const auto now = Clock::now();
  const auto is_due = [now](std::optional<Clock::time_point> time) { return time && now >= *time; };
  if (is_due(service_.due())) GiveSignOfLife();
  if (is_due(store_.due())) store_.SendRest();
  if (metrics_server_) metrics_server_->OnDeadline(now, program_->get());
  if (is_due(watch_.due())) LookAtServing();
  if (is_due(restarts_.due())) StartAgain();
  if (is_due(source_.look_at())) LookForSource();
  if (is_due(replacement_.due())) ReplaceThisProgram();
  LookAtSuccessor();
  if (is_due(leave_at_)) {
    util::LogError("the worker cannot be killed; exiting without it");
    outcome_ = Outcome::kEnded;
    return;
  }
  if (current_ && current_->IsToBeKilled()) {
    current_->Kill();
    if (ending_) leave_at_ = now + WorkerProcess::kKillPatience;
  }
  LookAtStarts();
}

void Supervisor::LookAtServing() {
  if (!Serves()) return watch_.Stop();
  if (watch_.Look(*current_, mount_->HasRequests())) current_->Kill();
}

void Supervisor::GiveSignOfLife() {
  std::optional<ServiceStatus::Requests> requests;
  if (Serves() && !ending_) {
    requests = {.wait = mount_->HasRequests(),
                .begun = memories_.RequestsBegun(),
                .source_hangs = watch_.SourceHangs(*current_)};
  }
  service_.GiveSignOfLife(current_ != nullptr, requests);
}

// In the middle of anything. What was begun with one of the workers ends with that worker, and what
// was to be looked at is looked at again.
void Supervisor::GoOnAfterFailure() {
  std::this_thread::sleep_for(kPauseAfterFailure);
  if (ending_ && !current_) {
    outcome_ = Outcome::kEnded;
    return;
  }
  if (!current_) current_ = std::move(next_);
  if (!current_ && !memories_.KernelResends()) {
    return GiveUp(
        "the worker has ended; this kernel is older than 6.9, so no other can take over: the mount "
        "is given up");
  }
  if (!current_ && !restarts_.due() && !successor_.has_state()) restarts_.ScheduleAtOnce();
  // It has not got all that it takes over.
  if (current_ && current_->stage() == WorkerProcess::Stage::kPrepared) current_->Kill();
  watch_.LookSoon();
  raise(SIGCHLD);  // there may be more
  if (upgrade_wanted_) raise(SIGUSR2);
}

void Supervisor::End() {
  end_wanted_ = successor_.has_state();
  if (ending_ || end_wanted_) return;
  ending_ = true;
  if (next_) next_->Kill();
  if (current_) {
    current_->TellToEnd();
  } else {
    outcome_ = Outcome::kEnded;
  }
  service_.Stopping("ending, as it was told to");
}

void Supervisor::LeaveToNextStart() {
  if (ending_) return;
  if (!store_.is_saved()) {
    util::LogWarning(
        "the mount is not left to the next start: the service manager has not stored it");
    return;
  }
  util::LogInfo("the mount is left to the next start");
  leaving_ = true;
  End();
}

void Supervisor::GiveUp(const std::string& reason) {
  outcome_ = Outcome::kGivenUp;
  if (!reason.empty()) util::LogError("{}", reason);
  service_.Stopping(reason.empty() ? "the mount is given up; the log says why" : reason);
}

}  // namespace skopsfs::supervisor
