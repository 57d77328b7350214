#pragma once

#include <string>

#include "util/log_rate_limiter.h"
#include "util/unique_fd.h"

namespace skopsfs::util {

// Sends lines to the system's log (facility daemon), as syslog(3) does. Unlike that it never waits
// for the receiver. Owns its socket. Not thread-safe.
class SyslogSocket {
 public:
  explicit SyslogSocket(std::string program, std::string path = "/dev/log");

  // False when nobody takes the line now: there is no receiver, or it does not read.
  bool Send(LogLevel level, const std::string& line);

 private:
  bool Connect();

  const std::string program_;
  const std::string path_;
  UniqueFd socket_;  // connected
  bool is_stream_ = false;
};

}  // namespace skopsfs::util
