#include "supervisor/closer.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <new>
#include <thread>

#include "util/mount_table.h"

namespace skopsfs::supervisor {
namespace {

constexpr size_t kMostRemembered = 64;  // mounts

// Whether a FUSE filesystem is mounted with that number; if it is not mounted any more it may be.
bool IsFuse(uint64_t mount) {
  const auto mounts = util::ReadMountTable();
  const auto found = std::ranges::find(mounts, mount, &util::MountEntry::id);
  return found == mounts.end() || found->type.starts_with("fuse");
}

}  // namespace

// Found out without asking the filesystem itself.
bool Closer::MayWait(int fd) {
  struct statx st {};
  if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &st) != 0 ||
      (st.stx_mask & STATX_MNT_ID) == 0) {
    return false;
  }
  const auto known = waits_.find(st.stx_mnt_id);
  if (known != waits_.end()) return known->second;
  const bool may_wait = IsFuse(st.stx_mnt_id);
  if (waits_.size() >= kMostRemembered) waits_.clear();
  waits_.emplace(st.stx_mnt_id, may_wait);
  return may_wait;
}

void Closer::Close(util::UniqueFd fd) noexcept try {
  if (!fd || !MayWait(fd.get())) return;
  pending_.push_back(fd.get());
  fd.Release();
  if (child_ < 0) Start();
} catch (const std::bad_alloc&) {
  return;
}

bool Closer::Ended(pid_t pid) {
  if (pid != child_) return false;
  child_ = -1;
  if (!pending_.empty()) Start();
  return true;
}

void Closer::Start() {
  const pid_t parent = getpid();
  // Not by fork(), which would give it descriptors of its own.
  const auto child = static_cast<pid_t>(syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0));
  if (child < 0) return;  // for want of processes; with the next one
  if (child > 0) {
    child_ = child;
    return pending_.clear();
  }
  // With system calls alone, as the C library does not know that this is another process.
  syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (syscall(SYS_getppid) == parent) {
    for (const int fd : pending_) syscall(SYS_close, fd);
  }
  syscall(SYS_exit_group, 0);
}

Closer::~Closer() {
  constexpr int kLooks = 100;
  constexpr auto kPause = std::chrono::milliseconds(10);
  for (int i = 0; i < kLooks && child_ > 0; ++i) {
    if (waitpid(child_, nullptr, WNOHANG) != child_) {
      std::this_thread::sleep_for(kPause);
    } else {
      Ended(child_);
    }
  }
}

}  // namespace skopsfs::supervisor
