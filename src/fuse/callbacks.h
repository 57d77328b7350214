#pragma once

#include <functional>

#include "fs/file_system.h"
#include "fuse/libfuse.h"

namespace skopsfs::fuse {

// What the callbacks work on; libfuse hands it to each of them.
struct CallbackContext {
  fs::FileSystem& file_system;
  std::function<void()> on_ready;  // the kernel has said hello: the mount can be used
};

// The table of callbacks for libfuse, whose user data is a CallbackContext.
fuse_lowlevel_ops Callbacks();

}  // namespace skopsfs::fuse
