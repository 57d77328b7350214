#include "fuse/mount.h"

#include <utility>

#include "fuse/libfuse.h"
#include "fuse/mountpoint.h"
#include "fuse/stderr_capture.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::fuse {
namespace {

using util::Error;

// Commas and backslashes in the value of an option.
std::string Escaped(const std::string& value) {
  std::string out;
  for (const char c : value) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

Mount::Mount(const MountOptions& options) : mountpoint_(options.mountpoint) {
  KeepMessages();
  Arguments arguments;
  arguments.Option("ro,nosuid,nodev,default_permissions,subtype=skopsfs,fsname=" +
                   Escaped(options.source));
  for (const auto& option : options.options) arguments.Option(option);
  const fuse_lowlevel_ops none{};
  session_ = fuse_session_new(arguments.get(), &none, sizeof(none), nullptr);
  if (session_ == nullptr) throw Error(EINVAL, TakeLastMessage());
  std::string reason;
  {
    const StderrCapture capture;
    mounted_ = fuse_session_mount(session_, mountpoint_.c_str()) == 0;
    reason = capture.Line();
  }
  mount_id_ = TopMountId(mountpoint_);
  if (mounted_) return;
  fuse_session_destroy(session_);
  if (reason.empty()) reason = TakeLastMessage();
  throw Error(EIO, "cannot mount on " + util::Quoted(mountpoint_) + ": " + reason);
}

Mount::~Mount() {
  Unmount();
  fuse_session_destroy(session_);
}

int Mount::descriptor() const { return fuse_session_fd(session_); }

void Mount::Unmount() {
  if (!std::exchange(mounted_, false)) return;
  // By path, so only while it is ours that is there: after a lazy unmount another may be.
  if (TopMountId(mountpoint_) == mount_id_) fuse_session_unmount(session_);
}

}  // namespace skopsfs::fuse
