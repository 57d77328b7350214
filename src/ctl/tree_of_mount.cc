// Reads the tree of an archive on a mount.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <unordered_set>

#include "ctl/files.h"
#include "ctl/tree.h"
#include "util/error.h"
#include "util/unique_fd.h"

namespace skopsfs::ctl {
namespace {

using util::Error;

NpyHeader ReadHeader(const std::string& file, uint64_t size) {
  const util::UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw util::ErrnoError("it cannot be opened");
  std::vector<std::byte> front(std::min<uint64_t>(size, kMostNpyHeader));
  for (size_t done = 0; done < front.size();) {
    const ssize_t got =
        pread(fd.get(), front.data() + done, front.size() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw util::ErrnoError("it cannot be read");
    if (got == 0) front.resize(done);
    done += static_cast<size_t>(got);
  }
  return ParseNpyHeader(front, size);
}

// Not thread-safe.
class MountedTreeReader {
 public:
  explicit MountedTreeReader(std::string path) : path_(std::move(path)) {}

  Tree Read() {
    struct stat st {};
    const std::string by_name = JoinPath(path_, "by-name");
    if (lstat(by_name.c_str(), &st) == 0 && !ReadAttribute(by_name, "member")) {
      try {
        AddChildren(by_name, "");
      } catch (const Error& error) {
        tree_.names_problem = ReadAttribute(by_name, "error").value_or(error.what());
      }
    }
    try {
      VisitFiles(path_, [&](const std::string& member, const struct stat& found) {
        if (!named_.contains(member)) Add(member, member, false, path_, found);
      });
    } catch (const Error& error) {
      throw Error(error.code(), ReadAttribute(path_, "error").value_or(error.what()));
    }
    return std::move(tree_);
  }

 private:
  void Add(const std::string& name, const std::string& member, bool is_named,
           const std::string& folder, const struct stat& st) {
    if (tree_.is_cut) return;
    const std::string file = JoinPath(folder, name);
    TreeItem item{.name = name, .member = member, .is_named = is_named};
    item.size = static_cast<uint64_t>(st.st_size);
    item.method = ReadAttribute(file, "method").value_or("");
    item.problem = ReadAttribute(file, "error").value_or("");
    try {
      if (item.problem.empty() && !IsShownUnreadable(st) && member.ends_with(".npy")) {
        item.array = ReadHeader(file, item.size);
      }
    } catch (const Error& error) {
      item.problem = ReadAttribute(file, "error").value_or(error.what());
    }
    if (item.problem.empty() && IsShownUnreadable(st)) item.problem = kShownUnreadable;
    tree_.Add(std::move(item));
  }

  void AddChildren(const std::string& by_name, const std::string& above) {
    const std::string folder = above.empty() ? by_name : JoinPath(by_name, above);
    for (const auto& name : ListFolder(folder)) {
      if (tree_.is_cut) return;
      AddChild(by_name, above + name);
    }
  }

  void AddChild(const std::string& by_name, const std::string& name) {
    const std::string file = JoinPath(by_name, name);
    struct stat st {};
    if (lstat(file.c_str(), &st) != 0) return;
    if (S_ISDIR(st.st_mode)) {
      try {
        AddChildren(by_name, name + "/");
      } catch (const Error& error) {  // a member that is no npz
        tree_.Add(
            {.name = name + "/", .problem = ReadAttribute(file, "error").value_or(error.what())});
      }
      return;
    }
    std::string member;
    if (S_ISLNK(st.st_mode)) {
      member = TargetOf(file, static_cast<size_t>(st.st_size));
      named_.insert(member);
      if (stat(file.c_str(), &st) != 0) return;
    } else {
      member = ReadAttribute(file, "member").value_or("");
    }
    Add(name, member, true, by_name, st);
  }

  // The member that a link in by-name leads to: the path behind all "../".
  static std::string TargetOf(const std::string& link, size_t size) {
    constexpr std::string_view kUp = "../";
    std::string target(size + 1, '\0');
    const ssize_t got = readlink(link.c_str(), target.data(), target.size());
    target.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    size_t start = 0;
    while (target.compare(start, kUp.size(), kUp) == 0) start += kUp.size();
    return target.substr(start);
  }

  const std::string path_;
  std::unordered_set<std::string> named_;  // members
  Tree tree_;
};

}  // namespace

Tree ReadTreeOfMount(const std::string& path) { return MountedTreeReader(path).Read(); }

}  // namespace skopsfs::ctl
