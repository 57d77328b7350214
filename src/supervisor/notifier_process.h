#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <set>
#include <utility>

#include "util/unique_fd.h"

namespace skopsfs::supervisor {

// A child process that tells the kernel which names to drop, and that nobody waits for. The kernel
// takes the lock of a folder for that, and its holder may wait for an answer of the mount. The
// process is started when there is something to tell, and replaced when it dies or is stuck. What
// is lost then is told again, see Housekeeper. Owns the process. Use from the supervisor's thread.
class NotifierProcess {
 public:
  using Clock = std::chrono::steady_clock;

  // `mount` (/dev/fuse) stays the caller's. Throws util::Error.
  explicit NotifierProcess(int mount);
  // With the ends of a socket that workers know.
  NotifierProcess(int mount, util::UniqueFd sender, util::UniqueFd receiver)
      : mount_(mount), sender_(std::move(sender)), receiver_(std::move(receiver)) {}
  ~NotifierProcess() { Kill(); }
  NotifierProcess(const NotifierProcess&) = delete;
  NotifierProcess& operator=(const NotifierProcess&) = delete;

  // For workers: takes messages for /dev/fuse without waiting, as many as there is room for.
  int sender() const { return sender_.get(); }
  int receiver() const { return receiver_.get(); }

  // To be polled for reading: then something is to be told, and Start() is to be called. -1: there
  // is a process, or none is to be started now.
  int descriptor() const;
  // `program` is a descriptor of what to execute. What goes wrong is logged.
  void Start(int program);

  // Has to be told of each process that has ended, and how. Returns whether it was one of these.
  bool Ended(pid_t pid, int status);
  // To be called once a second or so.
  void Look();

  // Nobody waits for its end, either.
  void Kill() const {
    if (pid_ > 0) kill(pid_, SIGKILL);
  }

 private:
  static constexpr size_t kMostStuck = 4;

  const int mount_;
  util::UniqueFd sender_;
  util::UniqueFd receiver_;
  pid_t pid_ = -1;
  Clock::time_point started_{};
  std::optional<Clock::time_point> behind_since_;  // with its messages
  std::set<pid_t> stuck_;                          // those that were killed and cannot end yet
};

}  // namespace skopsfs::supervisor
