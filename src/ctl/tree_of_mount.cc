// Reads the tree of an archive on a mount.

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <unordered_set>

#include "ctl/files.h"
#include "ctl/tree.h"
#include "util/error.h"

namespace skopsfs::ctl {
namespace {

using util::Error;

// Not thread-safe.
class MountedTreeReader {
 public:
  explicit MountedTreeReader(const std::string& path)
      : path_(path), by_name_(JoinPath(path, "by-name")) {}

  Tree Read() {
    struct stat st {};
    if (lstat(by_name_.c_str(), &st) == 0 && !ReadAttribute(by_name_, "member")) {
      try {
        AddChildren("");
      } catch (const Error& error) {
        tree_.names_problem = ReadAttribute(by_name_, "error").value_or(error.what());
      }
    }
    try {
      VisitFiles(path_, [&](const std::string& member, const struct stat& found) {
        if (!named_.contains(member)) Add(member, member, false, found);
      });
    } catch (const Error& error) {
      throw Error(error.code(), ReadAttribute(path_, "error").value_or(error.what()));
    }
    return std::move(tree_);
  }

 private:
  void Add(const std::string& name, const std::string& member, bool is_named,
           const struct stat& st) {
    if (tree_.is_cut) return;
    const std::string file = JoinPath(is_named ? by_name_ : path_, name);
    TreeItem item{.name = name, .member = member, .is_named = is_named};
    item.size = static_cast<uint64_t>(st.st_size);
    item.method = ReadAttribute(file, "method").value_or("");
    item.problem = ReadAttribute(file, "error").value_or("");
    try {
      if (item.problem.empty() && !IsShownUnreadable(st) && member.ends_with(".npy")) {
        const auto front = ReadFront(file, std::min<uint64_t>(item.size, kMostNpyHeader));
        item.array = ParseNpyHeader(std::as_bytes(std::span(front)), item.size);
      }
    } catch (const Error& error) {
      item.problem = ReadAttribute(file, "error").value_or(error.what());
    }
    if (item.problem.empty() && IsShownUnreadable(st)) item.problem = kShownUnreadable;
    tree_.Add(std::move(item));
  }

  void AddChildren(const std::string& above) {
    for (const auto& name : ListFolder(JoinPath(by_name_, above))) {
      if (tree_.is_cut) return;
      AddChild(above + name);
    }
  }

  void AddChild(const std::string& name) {
    const std::string file = JoinPath(by_name_, name);
    struct stat st {};
    if (lstat(file.c_str(), &st) != 0) return;
    if (S_ISDIR(st.st_mode)) {
      try {
        AddChildren(name + "/");
      } catch (const Error& error) {  // a member that is no npz
        tree_.Add(
            {.name = name + "/", .problem = ReadAttribute(file, "error").value_or(error.what())});
      }
      return;
    }
    std::string member;
    if (S_ISLNK(st.st_mode)) {
      member = TargetOf(file);
      named_.insert(member);
      if (stat(file.c_str(), &st) != 0) return;
    } else {
      member = ReadAttribute(file, "member").value_or("");
    }
    Add(name, member, true, st);
  }

  // The member that a link in by-name leads to: the path behind all "../".
  static std::string TargetOf(const std::string& link) {
    constexpr std::string_view kUp = "../";
    std::error_code failed;  // then it is empty
    const std::string target = std::filesystem::read_symlink(link, failed).string();
    size_t start = 0;
    while (target.compare(start, kUp.size(), kUp) == 0) start += kUp.size();
    return target.substr(start);
  }

  const std::string path_;
  const std::string by_name_;
  std::unordered_set<std::string> named_;  // members
  Tree tree_;
};

}  // namespace

Tree ReadTreeOfMount(const std::string& path) { return MountedTreeReader(path).Read(); }

}  // namespace skopsfs::ctl
