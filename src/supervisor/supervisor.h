#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "handover/channel.h"
#include "handover/supervisor_state.h"
#include "source/source.h"
#include "supervisor/closer.h"
#include "supervisor/kept_descriptors.h"
#include "supervisor/metrics_process.h"
#include "supervisor/mount.h"
#include "supervisor/notifier_process.h"
#include "supervisor/predecessor.h"
#include "supervisor/program_replacement.h"
#include "supervisor/quarantine.h"
#include "supervisor/restart_policy.h"
#include "supervisor/service_status.h"
#include "supervisor/service_store.h"
#include "supervisor/shared_source.h"
#include "supervisor/successor.h"
#include "supervisor/worker_memories.h"
#include "supervisor/worker_process.h"
#include "supervisor/worker_watch.h"
#include "util/serving_user.h"
#include "util/unique_fd.h"

namespace skopsfs::supervisor {

// Owns a mount, and sees to it that a worker serves it: it starts one, and another one when that
// dies. It owns what must not die with a worker: the mount, the memories that workers share, and
// the descriptors of archives that were read. It opens no archive itself. Use from one thread, in a
// process that has no others.
class Supervisor {
 public:
  struct WorkerOptions {
    std::vector<std::string> arguments;  // this program's
    util::ServingUser user;
    std::chrono::milliseconds
        timeout{};  // of a request, after which the worker is replaced; 0: none
  };

  // `on_ready` is called once, when the mount can be used. With an address, metrics are served
  // there. Who comes to the `listener` gets the mount; without one nobody does.
  Supervisor(const source::Source& source, const MountOptions& mount, WorkerOptions worker,
             const std::string& metrics_address, util::UniqueFd listener,
             std::function<void()> on_ready);

  // Goes on with a mount where another program has left it. Duplicates the descriptors, which stay
  // the caller's. With a `predecessor` the mount is that one's until a worker serves. `on_ready` is
  // not called when the mount was used before and is served. Throws util::Error, or std::bad_alloc;
  // then the mount is as it was.
  Supervisor(const handover::SupervisorState& state, const MountOptions& mount,
             WorkerOptions worker, const std::string& metrics_address,
             std::optional<Predecessor> predecessor = std::nullopt,
             std::function<void()> on_ready = nullptr);

  enum class Outcome { kEnded, kGivenUp, kHandedOver };

  // Mounts, and has it served until it is unmounted or SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPWR or
  // SIGXCPU comes (kEnded), or no worker can serve it (kGivenUp). Then the mount is gone, detached
  // lazily when it is in use. Or until a successor serves it (kHandedOver). SIGUSR1 ends it, too
  // (kEnded), and leaves the mount to the next start, for which the service manager has it in its
  // store; else it changes nothing, as other signals. SIGUSR2 has a new worker take over, of the
  // program as it is on disk then, which opens the source anew by its path. Once that has served
  // for a while, this process becomes that program, too. A source that is gone has a new worker
  // take over as well, as soon as it is there again. Throws util::Error with the reason when it
  // cannot be mounted.
  Outcome Run();

  // Waits for one of the signals that end Run(). For a process that has handed its mount over, and
  // whose end would be taken for a failure.
  static void WaitForEnd();

  // Keeps the signals that Run() acts on until then, and returns them. For the first process of a
  // container, which does not get those that it has no handler for: they would be lost.
  static sigset_t HoldSignals();

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kMostLeftBehind = 4;  // workers, before another has to wait for one

  void MountAndStart();
  void GoOn();
  // The loop.
  void Loop();
  int Timeout() const;
  void OnSignals();
  void OnReadable(std::unique_ptr<WorkerProcess>& worker);
  void OnMessage(WorkerProcess& worker, handover::Message& message);
  void OnDeadlines();
  void LookAtServing();
  void GiveSignOfLife();
  void GoOnAfterFailure();
  void End();
  void LeaveToNextStart();
  void GiveUp(const std::string& reason);

  // How one worker follows another, in supervisor_succession.cc.
  bool Serves() const;
  std::unique_ptr<WorkerProcess> Start(WorkerProcess::Program program, bool opens_source_anew);
  void StartAgain();
  void LookAtStarts();
  bool WaitsForSource(WorkerProcess& worker);
  void Upgrade();
  void LookForSource();
  void OnPrepared(WorkerProcess& worker, uint64_t version);
  void HandOver(WorkerProcess& worker);
  void OnServing(WorkerProcess& worker);
  void OnProcessesEnded();
  void LookAtEnds();
  void OnNextEnded(WorkerStatus status);
  void OnCurrentEnded(WorkerStatus status);
  void OnCrash(const WorkerProcess& ended, WorkerStatus status,
               std::vector<handover::RequestSeen> requests);
  void ReplaceThisProgram();

  // How another supervisor follows this one, in supervisor_handover.cc.
  void OnSuccessor();
  void LookAtSuccessor();
  void HandMountOver();
  void OnPredecessor();
  handover::SupervisorState State() const;
  void Store();

  const MountOptions mount_options_;
  const WorkerOptions worker_options_;
  std::function<void()> on_ready_;  // until it was called
  SharedSource source_;
  WorkerMemories memories_;
  std::string program_path_;
  WorkerProcess::Program program_;  // of the workers that are known to serve well
  util::UniqueFd signals_;
  std::optional<MetricsProcess> metrics_server_;
  std::unique_ptr<Mount> mount_;
  std::optional<NotifierProcess> notifier_;

  std::unique_ptr<WorkerProcess> current_;
  std::unique_ptr<WorkerProcess> next_;  // to take over from `current_`, when that still serves
  // Those that were killed and cannot end yet, as what they ask of the kernel hangs.
  std::set<pid_t> left_behind_;
  uint32_t generation_ = 0;  // the number of the last worker that was to take over
  Closer closer_;
  ServiceStore store_;
  KeptDescriptors kept_{closer_, store_};
  Quarantine quarantine_;
  RestartPolicy restarts_;
  WorkerWatch watch_;
  ProgramReplacement replacement_;
  Successor successor_;
  std::optional<Predecessor> predecessor_;     // until a worker serves
  bool upgrade_wanted_ = false;                // as soon as it can be
  bool ending_ = false;                        // a signal said so
  bool leaving_ = false;                       // that, and the mount goes on
  std::optional<Clock::time_point> leave_at_;  // without the worker, which cannot even be killed
  bool end_wanted_ = false;                    // the same, once it is clear who has the mount
  std::optional<Outcome> outcome_;             // of Run(), once it is known
  ServiceStatus service_;
};

}  // namespace skopsfs::supervisor
