#include "supervisor/metrics_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "supervisor/execute.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::supervisor {
namespace {

constexpr auto kRestartPause = std::chrono::seconds(1);   // before it is started again
constexpr auto kStartTimeout = std::chrono::seconds(10);  // with one that is being started
constexpr auto kTooSlow = "the metrics server does not come up";

}  // namespace

MetricsProcess::~MetricsProcess() { Kill(); }

void MetricsProcess::Start(int program) {
  Begin(program);
  pollfd event{descriptor(), POLLIN, 0};
  const int ready = poll(&event, 1, std::chrono::milliseconds(kStartTimeout).count());
  if (ready > 0) return TakeAnswer();
  Kill();
  throw util::Error(ETIMEDOUT, kTooSlow);
}

void MetricsProcess::StartSoon() {
  Kill();
  due_ = Clock::now();
}

void MetricsProcess::Begin(int program) {
  constexpr auto kWhat = "starting the metrics server";
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw util::ErrnoError(kWhat);
  util::UniqueFd ours(ends[0]);
  util::UniqueFd theirs(ends[1]);
  // To read alone: it has no business writing to what workers count.
  const std::string link = "/proc/self/fd/" + std::to_string(memory_);
  const util::UniqueFd memory(open(link.c_str(), O_RDONLY | O_CLOEXEC));
  if (!memory) throw util::ErrnoError(kWhat);
  const std::array kept = {memory.get(), theirs.get()};
  pid_ = Execute(program, kMetricsProcess, kept, {address_, source_, mountpoint_});
  if (pid_ < 0) throw util::ErrnoError(kWhat);
  answer_ = std::move(ours);
  due_ = Clock::now() + kStartTimeout;
}

// One write, then the end. Throws util::Error when it is not that it serves.
void MetricsProcess::TakeAnswer() {
  std::array<char, 1024> text{};
  const ssize_t got = TEMP_FAILURE_RETRY(read(descriptor(), text.data(), text.size()));
  const std::string reason(text.data(), got > 0 ? static_cast<size_t>(got) : 0);
  answer_.Reset();
  due_.reset();
  if (reason == kMetricsServed) return;
  Kill();
  if (reason.empty()) throw util::Error(EIO, "the metrics server dies when it is started");
  throw util::Error(EADDRNOTAVAIL, reason);
}

void MetricsProcess::Kill() {
  if (pid_ > 0 && kill(pid_, SIGKILL) == 0) waitpid(pid_, nullptr, 0);
  pid_ = -1;
  answer_.Reset();
  due_.reset();
}

void MetricsProcess::Ended(pid_t pid) {
  if (pid != pid_) return;
  pid_ = -1;
  if (answer_) return;  // which says more
  util::LogError("the metrics server at {} has ended; another one is started", address_);
  due_ = Clock::now() + kRestartPause;
}

void MetricsProcess::OnReadable() {
  try {
    TakeAnswer();
  } catch (const std::exception& error) {
    TryLater(error.what());
  }
}

void MetricsProcess::OnDeadline(Clock::time_point now, int program) {
  if (!due_ || now < *due_) return;
  if (answer_) {
    Kill();
    return TryLater(kTooSlow);
  }
  try {
    Begin(program);
  } catch (const std::exception& error) {
    TryLater(error.what());
  }
}

void MetricsProcess::TryLater(const char* reason) {
  util::LogError("{}; it is tried again", reason);
  due_ = Clock::now() + 10 * kRestartPause;
}

}  // namespace skopsfs::supervisor
