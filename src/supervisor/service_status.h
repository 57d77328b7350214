#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "supervisor/service_manager.h"
#include "supervisor/stall.h"

namespace skopsfs::supervisor {

// Tells the service manager how the mount is: what it serves, how many workers crashed, and that
// requests are taken. Use from one thread.
class ServiceStatus {
 public:
  using Clock = ServiceManager::Clock;

  ServiceStatus(const std::string& source_path, const std::string& mountpoint);

  void Ready() const { manager_.Ready(Text()); }
  void Serving() const { manager_.Status(Text()); }
  void WorkerCrashed(const std::string& how);
  void WaitsForSource() const { manager_.Status("no worker serves: the source does not answer"); }
  void Stopping(const std::string& why) const { manager_.Stopping(why); }

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
  int crashes_ = 0;
  std::string last_crash_;  // when, and how
  Stall silence_;
};

}  // namespace skopsfs::supervisor
