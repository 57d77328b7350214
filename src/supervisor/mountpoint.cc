#include "supervisor/mountpoint.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <system_error>

#include "util/error.h"
#include "util/log.h"
#include "util/mount_table.h"

namespace skopsfs::supervisor {
namespace {

using util::ErrnoError;
using util::Error;
using util::Quoted;

constexpr int kMostDeadMounts = 16;  // one on top of the other

bool IsDead(const std::string& path) {
  struct statx st {};
  // Asks the server, because the kernel may still remember the attributes that a dead one gave.
  const int flags = AT_STATX_FORCE_SYNC | AT_NO_AUTOMOUNT;
  return statx(AT_FDCWD, path.c_str(), flags, STATX_MODE, &st) != 0 &&
         (errno == ENOTCONN || errno == ECONNABORTED);
}

// For an ordinary user: only the setuid helper of libfuse may unmount.
bool DetachWithHelper(const std::string& path) {
  std::string program = "fusermount3";
  std::string flags = "-uzq";
  std::string end = "--";
  std::string target = path;
  std::array<char*, 5> arguments = {program.data(), flags.data(), end.data(), target.data(),
                                    nullptr};
  pid_t child = 0;
  if (posix_spawnp(&child, program.c_str(), nullptr, nullptr, arguments.data(), environ) != 0) {
    return false;
  }
  int status = 0;
  TEMP_FAILURE_RETRY(waitpid(child, &status, 0));
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void DetachDeadMounts(const std::string& path) {
  for (int i = 0; i < kMostDeadMounts && IsDead(path); ++i) {
    util::LogWarning("a dead mount was found at {} and is detached", Quoted(path));
    if (!DetachMount(path)) {
      throw Error(ENOTCONN, "mountpoint " + Quoted(path) +
                                " holds a dead mount that cannot be detached: try umount -l");
    }
  }
}

// Of what is mounted at `path`, without asking who serves it.
std::optional<uint64_t> UniqueId(const std::string& path) {
  constexpr unsigned kUniqueId = 0x4000;  // STATX_MNT_ID_UNIQUE, not in the headers of Debian 12
  struct statx st {};
  if (statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, kUniqueId, &st) != 0) return std::nullopt;
  return (st.stx_mask & kUniqueId) != 0 ? std::optional<uint64_t>(st.stx_mnt_id) : std::nullopt;
}

}  // namespace

bool DetachMount(const std::string& path) {
  return umount2(path.c_str(), MNT_DETACH) == 0 || DetachWithHelper(path);
}

std::optional<FoundMount> TopMount(const std::string& path) {
  std::optional<FoundMount> top;
  for (const auto& mount : util::ReadMountTable()) {
    if (mount.mountpoint != path) continue;
    top.reset();
    if (mount.type == "fuse.skopsfs") top = {.id = mount.id, .device = mount.device};
  }
  if (top) top->unique_id = UniqueId(path);
  return top;
}

std::string PrepareMountpoint(const std::string& path) {
  DetachDeadMounts(path);
  // Before it is looked at, which may ask a mount whose source is gone.
  std::error_code failed;
  std::string canonical = std::filesystem::canonical(path, failed).string();
  if (!failed && TopMount(canonical)) {
    throw Error(EBUSY, "mountpoint " + Quoted(path) +
                           " is busy: a skopsfs is mounted there already (unmount it with "
                           "fusermount3 -u or umount)");
  }
  struct stat st;
  if (stat(path.c_str(), &st) != 0) {
    if (errno != ENOENT) throw ErrnoError("mountpoint " + Quoted(path));
    throw Error(ENOENT, "mountpoint " + Quoted(path) +
                            ": No such file or directory (make the folder first)");
  }
  if (!S_ISDIR(st.st_mode)) {
    throw Error(ENOTDIR, "mountpoint " + Quoted(path) +
                             " is not a folder: name one (SOURCE comes first, then MOUNTPOINT)");
  }
  if (failed) throw ErrnoError("mountpoint " + Quoted(path), failed.value());
  return canonical;
}

std::optional<std::string> AnyNameIn(const std::string& path) {
  std::error_code failed;
  const std::filesystem::directory_iterator names(path, failed);
  if (failed || names == std::filesystem::directory_iterator()) return std::nullopt;
  return names->path().filename().string();
}

bool LiesInside(const std::string& path, const std::string& folder) {
  const std::string prefix = folder.ends_with('/') ? folder : folder + "/";
  return path != folder && path.starts_with(prefix);
}

}  // namespace skopsfs::supervisor
