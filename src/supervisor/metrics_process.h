#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "supervisor/mount.h"
#include "util/unique_fd.h"

namespace skopsfs::supervisor {

// What such a process says when it serves; anything else is why it cannot.
inline constexpr const char* kMetricsServed = "serving";

// A child process that serves metrics over HTTP. The worker may not listen, and this process can
// still tell of a worker that hangs. It is started again when it dies, and ends with the
// supervisor. It is given two descriptors, those of the counters and of the pipe on which it says
// that it serves. Its arguments are the address, the source and the mountpoint. Owns the process.
// Use from the supervisor's thread.
class MetricsProcess {
 public:
  using Clock = std::chrono::steady_clock;

  // `memory` (of handover::Counters) is a descriptor that stays the caller's, and open.
  MetricsProcess(std::string address, const MountOptions& mount, int memory)
      : address_(std::move(address)),
        source_(mount.source),
        mountpoint_(mount.mountpoint),
        memory_(memory) {}
  ~MetricsProcess();
  MetricsProcess(const MetricsProcess&) = delete;
  MetricsProcess& operator=(const MetricsProcess&) = delete;

  // Waits until it serves. Throws util::Error with the reason when it cannot. `program` is a
  // descriptor of what to execute.
  void Start(int program);

  // The same without waiting; it is tried until it can be. Ends one that serves.
  void StartSoon();

  // Ends the process, until it is started again.
  void Kill();

  // Has to be told of each process that has ended. If it was this one, another is started soon.
  void Ended(pid_t pid);
  // When to call OnDeadline().
  std::optional<Clock::time_point> due() const { return due_; }
  void OnDeadline(Clock::time_point now, int program);
  // To be polled for reading while one is being started; else -1.
  int descriptor() const { return answer_.get(); }
  void OnReadable();

 private:
  void Begin(int program);
  void TakeAnswer();
  void TryLater(const char* reason);

  const std::string address_;
  const std::string source_;
  const std::string mountpoint_;
  const int memory_;
  pid_t pid_ = -1;
  util::UniqueFd answer_;  // of one that is being started
  // When it is started again, or, while that goes on, when it has taken too long.
  std::optional<Clock::time_point> due_;
};

}  // namespace skopsfs::supervisor
