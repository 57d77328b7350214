#include "source/own_mount.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <deque>
#include <utility>

#include "source/path_steps.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::source {
namespace {

using util::ErrnoError;
using util::Quoted;
using util::UniqueFd;

bool IsOf(const UniqueFd& fd, uint32_t filesystem) {
  struct statfs st {};
  return fstatfs(fd.get(), &st) == 0 && static_cast<uint32_t>(st.f_type) == filesystem;
}

}  // namespace

// Whoever wants nothing but the device is told without a request.
bool OwnMount::Has(int fd, const char* name) const {
  if (device_ == 0) return false;
  struct statx st {};
  constexpr int kAskingNobody = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
  return statx(fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | kAskingNobody, 0, &st) == 0 &&
         makedev(st.stx_dev_major, st.stx_dev_minor) == device_;
}

void OwnMount::Refuse(int fd, const std::string& path) const {
  if (Has(fd)) throw util::Error(EDEADLK, Quoted(path) + " leads into this mount itself");
}

UniqueFd OwnMount::OpenPath(int folder, const std::string& path) const {
  std::deque<std::string> steps;
  PrependComponents(steps, path);
  UniqueFd here = path.starts_with('/') ? OpenStep(AT_FDCWD, "/") : OpenStep(folder, ".");
  const auto check = [&](const UniqueFd& fd) {
    if (!fd) throw ErrnoError("opening " + Quoted(path));
    Refuse(fd.get(), path);
  };
  check(here);
  for (int links = 0; !steps.empty();) {
    const std::string name = std::move(steps.front());
    steps.pop_front();
    UniqueFd next = OpenStep(here.get(), name);
    check(next);
    if (IsOf(next, AUTOFS_SUPER_MAGIC)) {  // what is to be there is mounted for a folder alone
      next =
          UniqueFd(openat(here.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC));
      check(next);
    }
    struct stat st {};
    if (fstat(next.get(), &st) != 0) throw ErrnoError("looking at " + Quoted(path));
    if (!S_ISLNK(st.st_mode)) {
      here = std::move(next);
      continue;
    }
    if (++links > kMostLinks) throw ErrnoError("opening " + Quoted(path), ELOOP);
    // A link of /proc that no path stands for: only the kernel knows where it leads.
    if (IsOf(next, PROC_SUPER_MAGIC)) {
      here = UniqueFd(openat(here.get(), name.c_str(), O_PATH | O_CLOEXEC));
      check(here);
      continue;
    }
    const std::string target = ReadLink(next);
    if (target.starts_with('/')) here = OpenStep(AT_FDCWD, "/");
    check(here);
    PrependComponents(steps, target);
  }
  return here;
}

}  // namespace skopsfs::source
