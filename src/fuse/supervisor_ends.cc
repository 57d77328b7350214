// The part of Supervisor that goes on without workers that cannot end.

#include <csignal>
#include <utility>

#include "fuse/supervisor.h"
#include "util/log.h"

namespace skopsfs::fuse {

void Supervisor::Kill(Worker& worker) {
  kill(worker.pid, SIGKILL);
  worker.end->Hurry();
}

// Threads of a worker that was killed may wait for a lock whose holder waits for an answer of this
// mount, or for another filesystem that hangs. So its successor does not wait until it is reaped,
// but until none of its threads runs any more.
void Supervisor::LookAtEnds() {
  for (auto* worker : {current_.get(), next_.get()}) {
    if (worker == nullptr || Clock::now() < worker->end->look_at()) continue;
    if (!worker->end->Look()) continue;
    if (left_behind_.size() >= kMostLeftBehind && !ending_) {
      if (std::exchange(worker->has_to_end, true)) continue;
      util::LogError(
          "{} workers that were killed cannot end, nor can this one: none takes over "
          "before one of them does",
          left_behind_.size());
      continue;
    }
    left_behind_.insert(worker->pid);
    if (worker == next_.get()) {
      OnNextEnded(std::nullopt);
    } else {
      OnCurrentEnded(std::nullopt);
    }
    return;  // the rest may be another one by now; it is looked at soon
  }
}

}  // namespace skopsfs::fuse
