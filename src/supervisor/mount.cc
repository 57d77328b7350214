#include "supervisor/mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <string_view>
#include <utility>

#include "supervisor/read_ahead.h"
#include "util/error.h"
#include "util/libfuse.h"
#include "util/log.h"
#include "util/number.h"

namespace skopsfs::supervisor {
namespace {

using util::Error;
using util::UniqueFd;

// Commas and backslashes in the value of an option.
std::string Escaped(const std::string& value) {
  std::string out;
  for (const char c : value) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

void CheckIsFuse(int fd, const std::string& name) {
  struct stat st {};
  if (fstat(fd, &st) != 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(10, 229)) {
    throw Error(EINVAL, name + " is not a descriptor of /dev/fuse");
  }
}

// Out of the way of the standard streams, and out of the reach of what is run later.
UniqueFd TakePassed(int descriptor) {
  const std::string name = "/dev/fd/" + std::to_string(descriptor);
  UniqueFd own(fcntl(descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!own) throw Error(EBADF, name + " is not open");
  CheckIsFuse(own.get(), name);
  pollfd event{own.get(), POLLIN, 0};
  poll(&event, 1, 0);
  if ((event.revents & POLLERR) != 0) {
    throw Error(ENOTCONN, name + " has not been mounted, or is no longer mounted");
  }
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (descriptor > STDERR_FILENO) {
    close(descriptor);
  } else {
    dup2(null.get(), descriptor);
  }
  // What reads from it waits.
  fcntl(own.get(), F_SETFL, fcntl(own.get(), F_GETFL) & ~O_NONBLOCK);
  return own;
}

// A worker that was taken over could answer with links that lead its users elsewhere. Where there
// are none otherwise, they are not followed. Best effort: takes root, and Linux 5.12.
void FollowNoLinks(const std::string& mountpoint) {
  mount_attr no_links{};
  no_links.attr_set = MOUNT_ATTR_NOSYMFOLLOW;
  mount_setattr(AT_FDCWD, mountpoint.c_str(), 0, &no_links, sizeof(no_links));
}

// Takes what this process and its children write to standard error for as long as it lives:
// fusermount3 says there why it would not mount. Only while there is one thread.
class StderrCapture {
 public:
  StderrCapture()
      : original_(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)),
        taken_(memfd_create("stderr", MFD_CLOEXEC)) {
    if (original_ && taken_) dup2(taken_.get(), STDERR_FILENO);
  }
  ~StderrCapture() {
    if (original_ && taken_) dup2(original_.get(), STDERR_FILENO);
  }
  StderrCapture(const StderrCapture&) = delete;
  StderrCapture& operator=(const StderrCapture&) = delete;

  // What was written so far, as one line without the program's name.
  std::string Line() const {
    constexpr std::string_view kProgram = "fusermount3: ";
    std::array<char, 1024> text{};
    const ssize_t size = pread(taken_.get(), text.data(), text.size(), 0);
    std::string line(text.data(), size > 0 ? static_cast<size_t>(size) : 0);
    while (line.ends_with('\n')) line.pop_back();
    if (line.starts_with(kProgram)) line.erase(0, kProgram.size());
    std::ranges::replace(line, '\n', ' ');
    return line;
  }

 private:
  UniqueFd original_;
  UniqueFd taken_;
};

bool HasCapability(unsigned number) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> sets{};
  if (syscall(SYS_capget, &header, sets.data()) != 0) return true;  // nobody knows
  return (sets[number / 32].effective >> number % 32 & 1) != 0;
}

// What to do about a mount that failed, where that is not in libfuse's reason.
std::string RemedyFor(const std::string& reason) {
  if (access("/dev/fuse", F_OK) != 0) {
    return "; there is no /dev/fuse: modprobe fuse, or give the container --device /dev/fuse";
  }
  if (geteuid() == 0 && !HasCapability(CAP_SYS_ADMIN)) {
    return "; this root has no CAP_SYS_ADMIN: give the container --cap-add SYS_ADMIN";
  }
  if (reason.find("failed to exec") != std::string::npos) return "; install the package fuse3";
  return {};
}

}  // namespace

std::string LibraryVersion() { return fuse_pkgversion(); }

std::optional<int> PassedDescriptor(const std::string& mountpoint) {
  constexpr std::string_view kPrefix = "/dev/fd/";
  if (!mountpoint.starts_with(kPrefix)) return std::nullopt;
  const auto descriptor =
      util::ParseNumber<int>(std::string_view(mountpoint).substr(kPrefix.size()));
  if (!descriptor || *descriptor < 0) {
    throw Error(EINVAL, util::Quoted(mountpoint) + " names no descriptor");
  }
  return descriptor;
}

Mount::Mount(const MountOptions& options)
    : mountpoint_(options.mountpoint),
      read_ahead_(options.read_ahead),
      is_passed_(options.passed.has_value()) {
  if (options.passed) {
    fuse_ = TakePassed(*options.passed);
    return;
  }
  util::TakeMessages(false);
  util::Arguments arguments;
  arguments.Option("ro,nosuid,nodev,default_permissions,subtype=skopsfs,fsname=" +
                   Escaped(options.source));
  for (const auto& option : options.options) arguments.Option(option);
  const fuse_lowlevel_ops none{};
  session_ = fuse_session_new(arguments.get(), &none, sizeof(none), nullptr);
  if (session_ == nullptr) throw Error(EINVAL, util::TakeLastMessage());
  std::string reason;
  {
    const StderrCapture capture;
    mounted_ = fuse_session_mount(session_, mountpoint_.c_str()) == 0;
    reason = capture.Line();
  }
  found_ = TopMount(mountpoint_);
  if (mounted_) {
    if (!options.has_links) FollowNoLinks(mountpoint_);
    return;
  }
  fuse_session_destroy(session_);
  if (reason.empty()) reason = util::TakeLastMessage();
  throw Error(EIO,
              "cannot mount on " + util::Quoted(mountpoint_) + ": " + reason + RemedyFor(reason));
}

Mount::Mount(const MountOptions& options, UniqueFd fuse, std::optional<FoundMount> found)
    : mountpoint_(options.mountpoint),
      read_ahead_(options.read_ahead),
      is_passed_(options.passed.has_value()),
      fuse_(std::move(fuse)),
      found_(found) {
  CheckIsFuse(fuse_.get(), "the descriptor of the mount");
  mounted_ = !is_passed_;
}

Mount::~Mount() {
  Unmount();
  if (session_ != nullptr) fuse_session_destroy(session_);
}

int Mount::descriptor() const {
  return session_ == nullptr ? fuse_.get() : fuse_session_fd(session_);
}

dev_t Mount::device() const {
  if (found_) return found_->device;
  unsigned minor = 0;
  std::ifstream facts("/proc/self/fdinfo/" + std::to_string(descriptor()));
  for (std::string name; facts >> name;) {
    if (name == "fuse_connection:" && facts >> minor) return makedev(0, minor);
  }
  return 0;
}

void Mount::Unmount() {
  // By path, so only while it is ours that is there: after a lazy unmount another may be.
  if (!std::exchange(mounted_, false) || !IsThere()) return;
  if (session_ != nullptr && IsConnected()) {
    fuse_session_unmount(session_);
  } else {
    DetachMount(mountpoint_);  // libfuse leaves a dead one
  }
}

void Mount::Abort() const {
  if (!mounted_ || !IsConnected()) return;
  const int flags = MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW;
  if (IsThere() && umount2(mountpoint_.c_str(), flags) == 0) return;
  // It was moved or detached; or its user may do so, where that is mounted.
  const std::string path = "/sys/fs/fuse/connections/" + std::to_string(minor(device())) + "/abort";
  const UniqueFd abort(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!abort || write(abort.get(), "1", 1) < 0) {
    util::LogWarning("{}: requests that wait for this mount cannot be made to fail: {}",
                     util::Quoted(mountpoint_), std::generic_category().message(errno));
  }
}

void Mount::SetReadAhead(std::optional<dev_t> source) const {
  if (found_) {
    const auto device = fmt::format("{}:{}", major(found_->device), minor(found_->device));
    return supervisor::SetReadAhead(device, read_ahead_, source);
  }
  if (read_ahead_) util::LogWarning("the read-ahead of a mount that was passed is not set");
}

bool Mount::IsConnected() const {
  pollfd connection{descriptor(), POLLIN, 0};
  poll(&connection, 1, 0);
  return (connection.revents & POLLERR) == 0;
}

bool Mount::HasRequests() const {
  pollfd connection{descriptor(), POLLIN, 0};
  return poll(&connection, 1, 0) > 0 && (connection.revents & POLLIN) != 0;
}

bool Mount::IsThere() const {
  const auto now = TopMount(mountpoint_);
  if (!found_ || !now || now->id != found_->id || now->device != found_->device) return false;
  // The kernel gives both again.
  if (found_->unique_id) return now->unique_id == found_->unique_id;
  // Before Linux 6.8. While ours is connected, its device is nobody else's; then a mount that is
  // alive is somebody else's.
  if (IsConnected()) return true;
  struct statvfs st {};
  return statvfs(mountpoint_.c_str(), &st) != 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

}  // namespace skopsfs::supervisor
