#pragma once

#include <chrono>
#include <string>

#include "util/unique_fd.h"

namespace skopsfs::supervisor {

// The socket of the service manager that has started this process ($NOTIFY_SOCKET), where there is
// one. libsystemd waits for a manager that is busy, for as long as that takes; this waits no longer
// than it is told to. Use from one thread.
class NotifySocket {
 public:
  NotifySocket();

  bool is_there() const { return !address_.empty(); }

  // False when the manager does not take it now. What it never takes is logged and lost.
  bool TrySend(const std::string& text, int fd = -1);
  // Whether anything was lost so.
  bool has_lost() const { return has_lost_; }

  // Tries again for that long. What is not taken by then is lost.
  void Send(const std::string& text, std::chrono::milliseconds patience);

 private:
  std::string address_;  // empty when there is none
  util::UniqueFd socket_;
  bool has_lost_ = false;
};

}  // namespace skopsfs::supervisor
