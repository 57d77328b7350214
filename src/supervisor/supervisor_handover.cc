// The part of Supervisor that leaves its mount to another supervisor, and that follows another one.

#include <csignal>

#include "supervisor/supervisor.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::supervisor {

using Stage = Successor::Stage;

handover::SupervisorState Supervisor::State() const {
  handover::SupervisorState state;
  state.protocol = handover::kProtocolVersion;
  state.program_path = program_path_;
  state.mountpoint = mount_options_.mountpoint;
  state.is_passed = mount_->is_passed();
  if (const auto& found = mount_->found()) {
    state.mount_id = found->id;
    state.mount_device = found->device;
    state.unique_mount_id = found->unique_id;
  }
  source_.SaveTo(state);
  const auto& [ids, stays] = worker_options_.user;
  state.user = ids.uid;
  state.group = ids.gid;
  state.user_stays = stays;
  state.kernel_resends = memories_.KernelResends();
  state.generation = generation_;
  state.left_behind.assign(left_behind_.begin(), left_behind_.end());
  quarantine_.SaveTo(state);
  service_.SaveTo(state);
  state.fuse = mount_->descriptor();
  state.session = memories_.session();
  state.slots = memories_.slots();
  state.counters = memories_.metrics();
  state.notification_sender = notifier_->sender();
  state.notification_receiver = notifier_->receiver();
  state.is_followed = successor_.listener() >= 0;
  state.listener = successor_.listener();
  if (current_) {
    state.worker_pid = current_->pid();
    state.worker_channel = current_->channel().descriptor();
    state.worker_program = current_->program()->get();
  }
  kept_.SaveTo(state);
  state.arguments = worker_options_.arguments;
  state.stored_facts = store_.facts();
  return state;
}

void Supervisor::OnSuccessor() {
  const bool had_state = successor_.has_state();
  const auto device = mount_->is_passed() ? 0 : mount_->device();  // nobody knows its place
  if (!successor_.OnReadable(device, source_.path())) return;
  if (had_state && !successor_.has_state()) return GoOn();
  if (successor_.stage() != Stage::kServes) return;
  util::LogInfo("another server has taken the mount over; this one waits to be told to end");
  mount_->BelongsToThisProcess(false);
  outcome_ = Outcome::kHandedOver;
  if (end_wanted_) raise(SIGTERM);  // which is blocked, and waits for WaitForEnd()
}

void Supervisor::LookAtSuccessor() {
  const auto due = successor_.due();
  if (due && Clock::now() >= *due) {
    const bool had_state = successor_.has_state();
    successor_.Refuse("it takes too long");
    if (had_state) GoOn();
  }
  if (successor_.stage() != Stage::kAsks) return;
  if (ending_) return successor_.LetGo();
  // A worker that is starting or ending comes first.
  if (next_ || !current_ || !current_->is_to_stay()) return;
  if (!memories_.KernelResends()) return successor_.Refuse("this kernel is older than 6.9");
  current_->TellToEnd();
}

// No worker serves, and none is started here unless that goes wrong.
void Supervisor::HandMountOver() {
  notifier_->Kill();
  if (metrics_server_) metrics_server_->Kill();
  auto state = State();
  state.left_behind.clear();
  state.stored_facts.reset();  // that store is this process's
  if (successor_.Send(state)) return;
  successor_.Refuse("it does not take the state of the mount");
  GoOn();
}

// It lets a worker serve, or has died.
void Supervisor::OnPredecessor() {
  predecessor_->OnReadable();
  if (current_ && current_->stage() == WorkerProcess::Stage::kPrepared) HandOver(*current_);
}

}  // namespace skopsfs::supervisor
