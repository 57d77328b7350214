#include "fuse/metrics_process.h"

#include <fcntl.h>
#include <poll.h>
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
constexpr int kPatience = 10'000;                 // milliseconds, with one that is being started

// All that is written to a pipe until it is closed, up to a line's length; nothing when that takes
// too long.
std::optional<std::string> ReadAnswer(int fd) {
  std::array<char, 1024> text{};
  size_t size = 0;
  while (size < text.size()) {
    pollfd event{fd, POLLIN, 0};
    const int ready = poll(&event, 1, kPatience);
    if (ready == 0) return std::nullopt;
    const ssize_t got = read(fd, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    size += static_cast<size_t>(got);
  }
  return std::string(text.data(), size);
}

}  // namespace

MetricsProcess::~MetricsProcess() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void MetricsProcess::Start(int program) {
  constexpr auto kWhat = "starting the server of metrics";
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw util::ErrnoError(kWhat);
  const util::UniqueFd ours(ends[0]);
  util::UniqueFd theirs(ends[1]);
  // To read alone: it has no business writing to what workers count.
  const std::string link = "/proc/self/fd/" + std::to_string(memory_);
  const util::UniqueFd memory(open(link.c_str(), O_RDONLY | O_CLOEXEC));
  if (!memory) throw util::ErrnoError(kWhat);
  pid_ = fork();
  if (pid_ < 0) throw util::ErrnoError(kWhat);
  if (pid_ == 0) {
    const std::array kept = {memory.get(), theirs.get()};
    const auto numbers = std::to_string(memory.get()) + "," + std::to_string(theirs.get());
    Execute(program, {kMetricsServer + numbers, address_, source_, mountpoint_}, kept);
  }
  theirs.Reset();
  const auto answer = ReadAnswer(ours.get());
  if (answer == kMetricsServed) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
  if (!answer) throw util::Error(ETIMEDOUT, "the server of metrics does not come up");
  const std::string& reason = *answer;
  if (reason.empty()) throw util::Error(EIO, "the server of metrics dies when it is started");
  throw util::Error(EADDRNOTAVAIL, reason);
}

void MetricsProcess::Ended(pid_t pid) {
  if (pid != pid_) return;
  pid_ = -1;
  util::LogError("the server of metrics at {} has ended; another one is started", address_);
  start_again_at_ = Clock::now() + kPause;
}

void MetricsProcess::OnDeadline(Clock::time_point now, int program) {
  if (!start_again_at_ || now < *start_again_at_) return;
  start_again_at_.reset();
  try {
    Start(program);
  } catch (const util::Error& error) {
    util::LogError("{}; it is tried again", error.what());
    start_again_at_ = now + 10 * kPause;
  }
}

}  // namespace skopsfs::fuse
