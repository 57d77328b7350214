#include "supervisor/service_status.h"

#include <fmt/chrono.h>
#include <systemd/sd-daemon.h>

#include <cstdlib>
#include <ctime>

#include "util/log.h"

namespace skopsfs::supervisor {

ServiceManager::ServiceManager() {
  uint64_t microseconds = 0;
  if (sd_watchdog_enabled(0, &microseconds) <= 0) return;
  patience_ = std::chrono::microseconds(microseconds);
  due_ = Clock::now();
}

// `status` may quote a stranger's text. A second line would be another message.
void ServiceManager::Tell(const std::string& what, const std::string& status,
                          std::chrono::milliseconds patience) {
  socket_.Send(what + "STATUS=" + util::Printable(status), patience);
}

void ServiceManager::Beat(bool alive) {
  if (alive) socket_.Send("WATCHDOG=1", kPatience);
  due_ = Clock::now() + patience_ / 2;
}

void ServiceManager::Leave() {
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
}

ServiceStatus::ServiceStatus(const std::string& source_path, const std::string& mountpoint)
    : serving_(
          fmt::format("serving {} at {}", util::Quoted(source_path), util::Quoted(mountpoint))) {}

std::string ServiceStatus::Text() const {
  if (crashes_ == 0) return serving_;
  return fmt::format("{}; workers that crashed: {}, the last {}", serving_, crashes_, last_crash_);
}

void ServiceStatus::SaveTo(handover::SupervisorState& state) const {
  state.crashes = crashes_;
  state.last_crash = last_crash_;
}

void ServiceStatus::Restore(const handover::SupervisorState& state) {
  crashes_ = state.crashes;
  last_crash_ = state.last_crash;
}

void ServiceStatus::WorkerCrashed(const std::string& how) {
  ++crashes_;
  last_crash_ = fmt::format("at {:%F %T}: it {}", fmt::localtime(std::time(nullptr)), how);
  manager_.Status(
      fmt::format("no worker serves, and requests wait for another one to take over; "
                  "the last one {}",
                  how));
}

void ServiceStatus::GiveSignOfLife(bool has_worker, std::optional<Requests> requests) {
  const bool was_silent = silence_.has_begun();
  Clock::duration silent{};
  if (requests) {
    silent = silence_.Look(requests->wait, requests->begun);
  } else {
    silence_.Reset();
  }
  const bool waits = silent > Clock::duration::zero() && requests->source_hangs;
  const bool alive = waits || silent < manager_.patience();
  manager_.Beat(alive);
  if (waits) {
    manager_.Status("requests wait for the source, which does not answer");
  } else if (!alive) {
    manager_.Status(
        fmt::format("requests wait, and the worker has taken none for {} s; the service manager is "
                    "no longer told that it is alive",
                    std::chrono::duration_cast<std::chrono::seconds>(silent).count()));
  } else if (was_silent && !silence_.has_begun() && has_worker) {
    Serving();
  }
}

}  // namespace skopsfs::supervisor
