#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "handover/supervisor_state.h"
#include "supervisor/notify_socket.h"
#include "supervisor/stall.h"

namespace skopsfs::supervisor {

// The service manager that has started this process and wants to be told how it is: systemd, or
// another that sets NOTIFY_SOCKET. When there is none, nothing here does anything. Use from one
// thread.
class ServiceManager {
 public:
  using Clock = std::chrono::steady_clock;

  ServiceManager();

  void Ready(const std::string& status) { Tell("READY=1\n", status, kReadyPatience); }
  // A line that `systemctl status` shows until the next one.
  void Status(const std::string& status) { Tell("", status); }
  void Stopping(const std::string& status) { Tell("STOPPING=1\n", status); }

  // How long it waits for a sign of life before it ends the service; 0: it wants none.
  Clock::duration patience() const { return patience_; }

  // When the next sign of life is due; nothing when none is wanted.
  std::optional<Clock::time_point> due() const { return due_; }

  // To be called when it is due. Gives a sign of life, or leaves it out.
  void Beat(bool alive);

  // From now on this process is no service, and neither is what it starts.
  static void Leave();

 private:
  // With a manager that is busy. It waits for the first, and can do without the others.
  static constexpr auto kReadyPatience = std::chrono::seconds(10);
  static constexpr auto kPatience = std::chrono::seconds(1);

  void Tell(const std::string& what, const std::string& status,
            std::chrono::milliseconds patience = kPatience);

  NotifySocket socket_;
  Clock::duration patience_{};
  std::optional<Clock::time_point> due_;
};

// Tells the service manager how the mount is: what it serves, how many workers crashed, and that
// requests are taken. Use from one thread.
class ServiceStatus {
 public:
  using Clock = ServiceManager::Clock;

  ServiceStatus(const std::string& source_path, const std::string& mountpoint);

  void Ready() { manager_.Ready(Text()); }
  void Serving() { manager_.Status(Text()); }
  void WorkerCrashed(const std::string& how);
  // What it says of them, for the program that goes on, which calls Restore().
  void SaveTo(handover::SupervisorState& state) const;
  void Restore(const handover::SupervisorState& state);
  void WaitsForSource() { manager_.Status("no worker serves: the source does not answer"); }
  void Stopping(const std::string& why) { manager_.Stopping(why); }

  // When the next sign of life is due; nothing when none is wanted.
  std::optional<Clock::time_point> due() const { return manager_.due(); }

  // The requests of the worker that serves.
  struct Requests {
    bool wait = false;
    uint64_t begun = 0;  // so far
    bool source_hangs = false;
  };

  // To be called when it is due. Without `requests` none serves: then another worker is started, or
  // the mount is given up, so it is alive. One whose worker takes no requests is not.
  void GiveSignOfLife(bool has_worker, std::optional<Requests> requests);

 private:
  std::string Text() const;

  ServiceManager manager_;
  const std::string serving_;
  uint32_t crashes_ = 0;
  std::string last_crash_;  // when, and how
  Stall silence_;
};

}  // namespace skopsfs::supervisor
