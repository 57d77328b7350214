#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>

namespace skopsfs::supervisor {

// How a process or a thread is, by its folder in /proc.
struct ThreadState {
  char letter = '?';  // as /proc has it; '?' where it does not tell
  uint64_t flags = 0;
};
ThreadState StateOf(const std::string& folder);

// Whether no thread of the process ever runs its own code again. Each is dead, or was killed and
// waits in the kernel: from there it does not return. False as well where /proc does not tell.
bool RunsNoMore(pid_t pid);

// Sees that a child process has ended in effect, though it may not be reaped for long. Threads of
// one that was killed may wait in the kernel, for a lock or for a filesystem that hangs. No event
// tells of that. So the process is looked at once a second, and more often once it was killed. Use
// from one thread.
class EndWatch {
 public:
  using Clock = std::chrono::steady_clock;

  explicit EndWatch(pid_t pid) : pid_(pid) {}

  // It was killed.
  void Hurry();

  // When to look again.
  Clock::time_point look_at() const { return look_at_; }

  // Whether it runs no more, though it has not been reaped.
  bool Look();

 private:
  const pid_t pid_;
  Clock::time_point look_at_ = Clock::now();
  bool hurries_ = false;
};

}  // namespace skopsfs::supervisor
