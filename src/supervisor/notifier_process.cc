#include "supervisor/notifier_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <csignal>

#include "supervisor/execute.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::supervisor {
namespace {

constexpr auto kBetweenStarts = std::chrono::seconds(1);   // between two starts
constexpr auto kMessageTimeout = std::chrono::seconds(5);  // with one that takes no messages

}  // namespace

NotifierProcess::NotifierProcess(int mount) : mount_(mount) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw util::ErrnoError("making a socket for notifications");
  }
  sender_.Reset(ends[0]);
  receiver_.Reset(ends[1]);
  fcntl(sender_.get(), F_SETFL, O_NONBLOCK);
}

int NotifierProcess::descriptor() const {
  return pid_ > 0 || Clock::now() - started_ < kBetweenStarts ? -1 : receiver_.get();
}

void NotifierProcess::Start(int program) {
  started_ = Clock::now();
  const std::array kept = {mount_, receiver_.get()};
  pid_ = Execute(program, kNotifierProcess, kept);
  if (pid_ < 0) {
    util::LogError("starting the process that has the kernel drop names: {}",
                   strerrordesc_np(errno));
  }
}

bool NotifierProcess::Ended(pid_t pid, int status) {
  if (stuck_.erase(pid) > 0) return true;
  if (pid != pid_) return false;
  pid_ = -1;
  if (status != 0) {
    util::LogWarning(
        "the process that has the kernel drop names has ended; another one is started");
  }
  return true;
}

// One that is stuck goes on when its folder is free, and dies then.
void NotifierProcess::Look() {
  pollfd waiting{receiver_.get(), POLLIN, 0};
  if (pid_ <= 0 || poll(&waiting, 1, 0) <= 0) return behind_since_.reset();
  const auto now = Clock::now();
  if (!behind_since_) behind_since_ = now;
  if (now - *behind_since_ < kMessageTimeout || stuck_.size() >= kMostStuck) return;
  kill(pid_, SIGKILL);
  stuck_.insert(pid_);
  pid_ = -1;
  behind_since_.reset();
}

}  // namespace skopsfs::supervisor
