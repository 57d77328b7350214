#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

namespace skopsfs::fuse {

// What this program is given as its first argument to be such a process.
inline constexpr const char* kMetricsServer = "--metrics-server=";

// A process of the supervisor's that serves metrics over HTTP: apart from the worker, which has no
// power to listen, and so that it can tell of a worker that hangs. It is started again when it
// dies, and ends with the supervisor. Use from the supervisor's thread.
class MetricsProcess {
 public:
  using Clock = std::chrono::steady_clock;

  // `program` (to execute) and `memory` (of metrics::Counters) are descriptors that stay the
  // caller's.
  MetricsProcess(std::string address, int program, int memory)
      : address_(std::move(address)), program_(program), memory_(memory) {}
  ~MetricsProcess();
  MetricsProcess(const MetricsProcess&) = delete;
  MetricsProcess& operator=(const MetricsProcess&) = delete;

  // Waits until it serves. Throws util::Error with the reason when it cannot.
  void Start();

  // To be told of a process that has ended; if it was this one, it is started again soon.
  void Ended(pid_t pid);
  std::optional<Clock::time_point> start_again_at() const { return start_again_at_; }
  void OnDeadline(Clock::time_point now);

 private:
  const std::string address_;
  const int program_;
  const int memory_;
  pid_t pid_ = -1;
  std::optional<Clock::time_point> start_again_at_;
};

}  // namespace skopsfs::fuse
