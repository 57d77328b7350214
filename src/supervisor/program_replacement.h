#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "handover/supervisor_state.h"
#include "supervisor/worker_process.h"
#include "util/unique_fd.h"

namespace skopsfs::supervisor {

// Has this process become another program, which goes on with the mount. At first a child of that
// program reads the state. A program that cannot, or does not even start, never takes over; one
// that fails to take over goes back to the old one. Owns the child. Use from one thread, in a
// process that has no others.
class ProgramReplacement {
 public:
  using Clock = std::chrono::steady_clock;

  // `arguments` are those of this process.
  explicit ProgramReplacement(std::vector<std::string> arguments)
      : arguments_(std::move(arguments)) {}
  ~ProgramReplacement() { Cancel(); }
  ProgramReplacement(const ProgramReplacement&) = delete;
  ProgramReplacement& operator=(const ProgramReplacement&) = delete;

  // This program is to be replaced by that one after a while, unless it is the same file.
  void Schedule(WorkerProcess::Program program, Clock::duration after);
  void Cancel();

  // When to go on; nothing when this program is not to be replaced.
  std::optional<Clock::time_point> due() const { return due_; }
  // It cannot be just now.
  void Postpone() { due_ = Clock::now() + std::chrono::seconds(1); }

  // To be called when it is due, until it is checked. What goes wrong is logged; then this program
  // stays.
  void Check(const handover::SupervisorState& state);
  bool is_checked() const { return is_checked_; }
  // Returns only when it fails, which is logged.
  void Execute(const handover::SupervisorState& state);

  // Has to be told of each process that has ended, and how. Returns whether it was the child.
  bool Ended(pid_t pid, int status);

  // What the child does: exits with 0 when it can read the state in the sealed memory. Else it says
  // why not on `answer`.
  [[noreturn]] static void Answer(int memory, int answer);

 private:
  void BeginCheck(const handover::SupervisorState& state);
  void Refuse(const std::string& why);

  const std::vector<std::string> arguments_;
  WorkerProcess::Program program_;
  std::optional<Clock::time_point> due_;
  pid_t child_ = -1;
  util::UniqueFd answer_;  // of the child
  bool is_checked_ = false;
};

// The way back for a program that was executed, while it takes over: when that crashes or takes ten
// seconds, the process becomes the old program again. `given` are the descriptors that it was
// given: the memory of the state, and the old program, or -1. One at a time, in a process that has
// no threads.
class WayBack {
 public:
  WayBack(std::pair<int, int> given, const std::vector<std::string>& arguments);
  ~WayBack();  // it has taken over
  WayBack(const WayBack&) = delete;
  WayBack& operator=(const WayBack&) = delete;

  // Returns when that fails, or when there is no old program.
  void Go() const;

 private:
  const int program_;
  const std::string first_;
  std::vector<const char*> words_;
};

}  // namespace skopsfs::supervisor
