#pragma once

#include <sys/types.h>

#include <string>

#include "util/unique_fd.h"

namespace skopsfs::source {

// The mount that this very process serves. Whoever asks it for anything, be it to look up a name,
// waits for this process. If all threads of this process wait so, they wait for ever. So each step
// of a path is compared with the mount before the next one is taken. Immutable and thread-safe.
class OwnMount {
 public:
  // Without a device, nothing is known to be of the mount.
  explicit OwnMount(dev_t device = 0) : device_(device) {}

  dev_t device() const { return device_; }

  // Whether `fd`, or `name` in the folder `fd`, is of the mount. Does not follow a link. Sends no
  // request to any server.
  bool Has(int fd, const char* name = "") const;

  // Throws util::Error(EDEADLK), which names `path`, when `fd` is of the mount.
  void Refuse(int fd, const std::string& path) const;

  // An O_PATH descriptor of what `path` leads to; a relative one begins at `folder`. Follows links
  // as the kernel does, but one step at a time. Throws util::Error: that of Refuse(), or the errno
  // of a step.
  util::UniqueFd OpenPath(int folder, const std::string& path) const;

 private:
  dev_t device_;
};

}  // namespace skopsfs::source
