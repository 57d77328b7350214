#include "fuse/metrics_process.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "fuse/execute.h"
#include "util/error.h"
#include "util/log.h"
#include "util/unique_fd.h"

namespace skopsfs::fuse {
namespace {

constexpr auto kPause = std::chrono::seconds(1);  // before it is started again

// All that is written to a pipe until it is closed, up to a line's length.
std::string ReadReason(int fd) {
  std::array<char, 1024> text{};
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(fd, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    size += static_cast<size_t>(got);
  }
  return {text.data(), size};
}

}  // namespace

MetricsProcess::~MetricsProcess() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void MetricsProcess::Start() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw util::ErrnoError("starting the server of metrics");
  const util::UniqueFd ours(ends[0]);
  util::UniqueFd theirs(ends[1]);
  pid_ = fork();
  if (pid_ < 0) throw util::ErrnoError("starting the server of metrics");
  if (pid_ == 0) {
    const std::array kept = {memory_, theirs.get()};
    Execute(
        program_,
        {kMetricsServer + std::to_string(memory_) + "," + std::to_string(theirs.get()), address_},
        kept);
  }
  theirs.Reset();
  const std::string reason = ReadReason(ours.get());
  if (reason.empty()) return;
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
  throw util::Error(EADDRNOTAVAIL, reason);
}

void MetricsProcess::Ended(pid_t pid) {
  if (pid != pid_) return;
  pid_ = -1;
  util::LogError("the server of metrics at {} has ended; another one is started", address_);
  start_again_at_ = Clock::now() + kPause;
}

void MetricsProcess::OnDeadline(Clock::time_point now) {
  if (!start_again_at_ || now < *start_again_at_) return;
  start_again_at_.reset();
  try {
    Start();
  } catch (const util::Error& error) {
    util::LogError("{}; it is tried again", error.what());
    start_again_at_ = now + 10 * kPause;
  }
}

}  // namespace skopsfs::fuse
