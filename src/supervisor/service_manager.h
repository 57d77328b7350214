#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace skopsfs::supervisor {

// The service manager that has started this process and wants to be told how it is: systemd, or
// another that sets NOTIFY_SOCKET. When there is none, nothing here does anything. Use from one
// thread.
class ServiceManager {
 public:
  using Clock = std::chrono::steady_clock;

  ServiceManager();

  void Ready(const std::string& status) const { Tell("READY=1\n", status); }
  // A line that `systemctl status` shows until the next one.
  void Status(const std::string& status) const { Tell("", status); }
  void Stopping(const std::string& status) const { Tell("STOPPING=1\n", status); }

  // How long it waits for a sign of life before it ends the service; 0: it wants none.
  Clock::duration patience() const { return patience_; }

  // When the next sign of life is due; nothing when none is wanted.
  std::optional<Clock::time_point> due() const { return due_; }

  // To be called when it is due. Gives a sign of life, or leaves it out.
  void Beat(bool alive);

  // From now on this process is no service, and neither is what it starts.
  static void Leave();

 private:
  static void Tell(const std::string& what, const std::string& status);

  Clock::duration patience_{};
  std::optional<Clock::time_point> due_;
};

}  // namespace skopsfs::supervisor
