#include "fuse/service_manager.h"

#include <systemd/sd-daemon.h>

#include <cstdint>
#include <cstdlib>

#include "util/log.h"

namespace skopsfs::fuse {
namespace {

// `status` may quote a stranger's text. A second line would be another message.
std::string StatusLine(const std::string& status) { return "STATUS=" + util::Printable(status); }

}  // namespace

ServiceManager::ServiceManager() {
  uint64_t microseconds = 0;
  if (sd_watchdog_enabled(0, &microseconds) <= 0) return;
  patience_ = std::chrono::microseconds(microseconds);
  due_ = Clock::now();
}

void ServiceManager::Ready(const std::string& status) const {
  sd_notify(0, ("READY=1\n" + StatusLine(status)).c_str());
}

void ServiceManager::Status(const std::string& status) const {
  sd_notify(0, StatusLine(status).c_str());
}

void ServiceManager::Stopping(const std::string& status) const {
  sd_notify(0, ("STOPPING=1\n" + StatusLine(status)).c_str());
}

void ServiceManager::Beat(bool alive) {
  if (alive) sd_notify(0, "WATCHDOG=1");
  due_ = Clock::now() + patience_ / 2;
}

void ServiceManager::Leave() {
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
}

}  // namespace skopsfs::fuse
