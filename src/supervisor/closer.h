#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <vector>

#include "util/unique_fd.h"

namespace skopsfs::supervisor {

// Closes descriptors for whoever must not wait. To close a file of a FUSE filesystem asks its
// server, which may not answer; so that is done by a child process that has all descriptors in
// common with this one, one process at a time. Use from one thread, in a process that has no
// others.
class Closer {
 public:
  Closer() = default;
  // Waits for a moment; what is not closed by then is left to the child, and is no reason for this
  // process to wait when it ends.
  ~Closer();
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;

  // Where there is no memory to have it done, it is done here.
  void Close(util::UniqueFd fd) noexcept;

  // To be told of a process that has ended; whether it was one of these.
  bool Ended(pid_t pid);

 private:
  bool MayWait(int fd);
  void Start();

  std::map<uint64_t, bool> waits_;  // by the number of a mount
  std::vector<int> pending_;        // for the next child
  pid_t child_ = -1;
};

}  // namespace skopsfs::supervisor
