#include "source/contained_resolver.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <deque>
#include <optional>
#include <string_view>
#include <vector>

#include "source/path_steps.h"
#include "source/permissions.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::source {
namespace {

using util::ErrnoError;
using util::Error;
using util::Quoted;
using util::UniqueFd;

constexpr size_t kDeepest = 128;  // a descriptor each

// What follows `root` in the absolute path `target`; nothing when it lies elsewhere.
std::optional<std::string_view> Below(std::string_view target, std::string_view root) {
  if (root.empty()) return std::nullopt;
  if (root == "/") return target.substr(1);
  if (!target.starts_with(root)) return std::nullopt;
  target.remove_prefix(root.size());
  if (!target.empty() && target.front() != '/') return std::nullopt;
  return target;
}

}  // namespace

ContainedResolver::ContainedResolver(UniqueFd root, std::string root_path, std::string given_path,
                                     OwnMount own)
    : root_(std::move(root)),
      root_path_(std::move(root_path)),
      given_path_(std::move(given_path)),
      own_(own) {}

UniqueFd ContainedResolver::Open(const std::string& path) const {
  if (path.empty()) {  // nothing is looked up, which its mode could forbid
    UniqueFd root(fcntl(root_.get(), F_DUPFD_CLOEXEC, 0));
    if (!root) throw ErrnoError("opening the source");
    return root;
  }
  struct open_how how {};
  how.flags = O_PATH | O_CLOEXEC;
  // Links are for Walk(). The kernel would follow '..' in one into a mount on top of the root,
  // which may be our own. So may any mount below the root.
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  UniqueFd fd(static_cast<int>(syscall(SYS_openat2, root_.get(), path.c_str(), &how, sizeof(how))));
  if (fd) return fd;
  // ELOOP: there is a link. EAGAIN: a rename got in the way. ENOSYS, EPERM: a kernel or a container
  // that has no openat2. EXDEV: another mount, or '..' in the path itself. ENAMETOOLONG: the whole
  // path, perhaps, but no single name in it.
  for (const int code : {ELOOP, EAGAIN, ENOSYS, EPERM, EXDEV, ENAMETOOLONG}) {
    if (errno == code) return Walk(path);
  }
  throw ErrnoError("opening " + Quoted(path));
}

UniqueFd ContainedResolver::Walk(const std::string& path, const Visit& visit) const {
  std::deque<std::string> components;
  PrependComponents(components, path);
  std::vector<UniqueFd>
      below_root;  // the folders walked through, so that '..' is never the kernel's
  const auto here = [&] { return below_root.empty() ? root_.get() : below_root.back().get(); };
  for (int links = 0; !components.empty();) {
    const std::string name = std::move(components.front());
    components.pop_front();
    if (name == ".") continue;
    if (name == "..") {
      if (below_root.empty()) throw Error(EXDEV, Quoted(path) + " leads out of the source");
      below_root.pop_back();
      continue;
    }
    UniqueFd next = OpenStep(here(), name);
    if (!next) throw ErrnoError("opening " + Quoted(path));
    own_.Refuse(next.get(), path);
    struct stat st;
    if (fstat(next.get(), &st) != 0) throw ErrnoError("looking at " + Quoted(path));
    if (!S_ISLNK(st.st_mode)) {
      const bool is_last = components.empty();
      if (!is_last && !S_ISDIR(st.st_mode)) throw ErrnoError("opening " + Quoted(path), ENOTDIR);
      if (!is_last && visit) {
        st.st_mode = WithinAccessList(next.get(), st.st_mode);
        visit(st);
      }
      if (below_root.size() == kDeepest) throw ErrnoError("opening " + Quoted(path), ENAMETOOLONG);
      below_root.push_back(std::move(next));
      continue;
    }
    const std::string target = ReadLink(next);
    if (++links > kMostLinks) throw ErrnoError("opening " + Quoted(path), ELOOP);
    if (!target.starts_with('/')) {
      PrependComponents(components, target);
      continue;
    }
    auto inside = Below(target, root_path_);
    if (!inside) inside = Below(target, given_path_);
    if (!inside) throw Error(EXDEV, Quoted(path) + " leads out of the source");
    below_root.clear();
    PrependComponents(components, *inside);
  }
  if (!below_root.empty()) return std::move(below_root.back());
  UniqueFd root = OpenStep(root_.get(), ".");
  if (!root) throw ErrnoError("opening the source");
  return root;
}

}  // namespace skopsfs::source
