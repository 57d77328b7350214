#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <vector>

#include "util/unique_fd.h"

namespace skopsfs::supervisor {

// Closes descriptors without waiting. To close a file of a FUSE filesystem asks its server, which
// may not answer. So a child process closes it, which shares this one's descriptors. There is one
// such child at a time. Use from one thread, in a process that has no others.
class Closer {
 public:
  Closer() = default;
  // Waits for a moment. The child closes the rest, and this process can end meanwhile.
  ~Closer();
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;

  // Without memory to have it done, it is done here.
  void Close(util::UniqueFd fd) noexcept;

  // Whether no child closes any, nor is to.
  bool is_idle() const { return child_ < 0 && pending_.empty(); }

  // Has to be told of each process that has ended. Returns whether it was one of these.
  bool Ended(pid_t pid);

 private:
  bool MayWait(int fd);
  void Start();

  std::map<uint64_t, bool> waits_;  // by the number of a mount
  std::vector<int> pending_;        // for the next child
  pid_t child_ = -1;
};

}  // namespace skopsfs::supervisor
