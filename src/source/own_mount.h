#pragma once

#include <sys/types.h>

#include <string>

#include "util/unique_fd.h"

namespace skopsfs::source {

// The mount that this very process serves. What asks anything of it, as a look-up of a name in it
// does, waits for this process, and once all of its threads do so, for ever. So each step of a path
// is compared with it before the next one is taken. Immutable and thread-safe.
class OwnMount {
 public:
  // Without a device nothing is known to be of it.
  explicit OwnMount(dev_t device = 0) : device_(device) {}

  dev_t device() const { return device_; }

  // Whether `fd`, or `name` in it, which is not followed if it is a link, is of the mount. Asks
  // nobody.
  bool Has(int fd, const char* name = "") const;

  // Throws util::Error(EDEADLK), which names `path`, when `fd` is of the mount.
  void Refuse(int fd, const std::string& path) const;

  // An O_PATH descriptor of what `path` leads to, from `folder` if it is relative. Links are
  // followed as the kernel would, but a step at a time. Throws util::Error: that of Refuse(), or
  // the errno of a step.
  util::UniqueFd OpenPath(int folder, const std::string& path) const;

 private:
  dev_t device_;
};

}  // namespace skopsfs::source
