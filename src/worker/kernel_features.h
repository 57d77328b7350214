#pragma once

#include <optional>
#include <string>

namespace skopsfs::worker {

// What skopsfs can use here, by the running kernel and the container around this process. None of
// it depends on a mount.
struct KernelFeatures {
  std::string release;
  std::string device;          // empty: /dev/fuse can be used; else why not
  std::optional<bool> resend;  // FUSE_NOTIFY_RESEND; nothing when only root may find out
  long landlock = 0;           // its version; 0: none
  bool cachestat = false;
  bool direct = false;  // what direct reads take, on the filesystem that this program lies on
};

KernelFeatures FindKernelFeatures();

}  // namespace skopsfs::worker
