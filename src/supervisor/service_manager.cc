#include "supervisor/service_manager.h"

#include <systemd/sd-daemon.h>

#include <cstdint>
#include <cstdlib>

#include "util/log.h"

namespace skopsfs::supervisor {

ServiceManager::ServiceManager() {
  uint64_t microseconds = 0;
  if (sd_watchdog_enabled(0, &microseconds) <= 0) return;
  patience_ = std::chrono::microseconds(microseconds);
  due_ = Clock::now();
}

// `status` may quote a stranger's text. A second line would be another message.
void ServiceManager::Tell(const std::string& what, const std::string& status) {
  sd_notify(0, (what + "STATUS=" + util::Printable(status)).c_str());
}

void ServiceManager::Beat(bool alive) {
  if (alive) sd_notify(0, "WATCHDOG=1");
  due_ = Clock::now() + patience_ / 2;
}

void ServiceManager::Leave() {
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
}

}  // namespace skopsfs::supervisor
