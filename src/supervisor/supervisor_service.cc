// The part of Supervisor that tells a service manager how the mount is.

#include <fmt/chrono.h>

#include <ctime>

#include "handover/session_state.h"
#include "supervisor/supervisor.h"
#include "util/log.h"

namespace skopsfs::supervisor {

std::string Supervisor::Serving() const {
  std::string text = fmt::format("serving {} at {}", util::Quoted(source_.path()),
                                 util::Quoted(mount_options_.mountpoint));
  if (crashes_told_ > 0) {
    text += fmt::format("; workers that crashed: {}, the last {}", crashes_told_, last_crash_);
  }
  return text;
}

void Supervisor::TellOfCrash(const std::string& how) {
  ++crashes_told_;
  last_crash_ = fmt::format("at {:%F %T}: it {}", fmt::localtime(std::time(nullptr)), how);
  service_.Status(
      fmt::format("no worker serves, and requests wait for another one to take over; "
                  "the last one {}",
                  how));
}

// Alive is also a mount without a worker: another one is started, or the mount given up. One whose
// worker does not take what is asked is not.
void Supervisor::GiveSignOfLife() {
  const bool was_silent = silence_.has_begun();
  Clock::duration silent{};
  if (Serves() && !ending_) {
    silent = silence_.Look(mount_->HasRequests(),
                           handover::SessionState::RequestsBegun(session_memory_.get()));
  } else {
    silence_.Reset();
  }
  const bool waits = silent > Clock::duration::zero() && watch_.SourceHangs(*current_);
  const bool alive = waits || silent < service_.patience();
  service_.Beat(alive);
  if (waits) {
    service_.Status("requests wait for the source, which does not answer");
  } else if (!alive) {
    service_.Status(
        fmt::format("requests wait, and the worker has taken none for {} s; the service manager is "
                    "no longer told that it is alive",
                    std::chrono::duration_cast<std::chrono::seconds>(silent).count()));
  } else if (was_silent && !silence_.has_begun() && current_) {
    service_.Status(Serving());
  }
}

}  // namespace skopsfs::supervisor
