// Prints what the filesystem shows of every archive in a folder, one JSON object a line, for
// compare.py. Drives fs::FileSystem directly: what the mount shows without mounting.
//
//   show_archives SOURCE CONTENTS SEED
//
// The bytes of members go to the file CONTENTS. SEED decides in which pieces members are read.

#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "contents_file.h"
#include "fs/file_system.h"
#include "json_line.h"
#include "member_check.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::differential {
namespace {

using util::Error;

struct Child {
  std::string name;
  fs::Entry entry;
};

// Few, so that archives are closed and opened again all the time.
constexpr size_t kDescriptors = 40;
constexpr int kArchivesPerTidy = 50;

class Shower {
 public:
  Shower(const std::string& source, const char* contents, uint64_t seed)
      : fs_(source, {.budget = {.descriptors = kDescriptors}, .by_name = false}),
        contents_(contents),
        seed_(seed) {}

  void ShowAll() {
    const auto archives = List(handover::kRoot);
    int shown = 0;
    for (const auto& archive : archives) {
      ShowArchive(archive);
      // One that was read stays open for as long as it is known.
      fs_.Forget(archive.entry.node, 1);
      if (++shown % kArchivesPerTidy == 0) fs_.Tidy();
    }
    // The root's slot is the one that stays. Anything else would be a leak of lookup counts.
    const auto slots = static_cast<int64_t>(fs_.catalog().slots().All().size());
    fmt::print("{}\n", JsonObject().Number("slots_left", slots - 1).Str());
  }

 private:
  // All children, with a lookup on each; a few a call, as a small buffer makes the kernel do.
  std::vector<Child> List(handover::NodeId node) {
    constexpr size_t kAtOnce = 7;
    fs_.OpenDirectory(node);
    std::vector<Child> children;
    uint64_t position = 0;
    for (size_t taken = kAtOnce; taken == kAtOnce;) {
      taken = 0;
      fs_.ReadDirectory(node, position, true, [&](const fs::DirectoryEntry& item) {
        if (taken == kAtOnce) return false;
        ++taken;
        position = item.next;
        if (item.name != "." && item.name != "..") {
          children.push_back({std::string(item.name), item.entry});
        }
        return true;
      });
    }
    return children;
  }

  void ShowArchive(const Child& archive) {
    problems_ = JsonList();
    members_ = JsonList();
    JsonObject line;
    line.Text("archive", archive.name);
    try {
      ShowDirectory(archive.name, "", archive.entry.node);
      line.Raw("members", members_.Str());
      if (fs_.GetXattr(archive.entry.node, "user.skopsfs.error")) {
        problems_.Text("a good archive has an error attribute");
      }
    } catch (const Error& error) {
      line.Raw("error", ErrorJson(error));
      CheckUnreadable(archive.entry.node, error);
    }
    fmt::print("{}\n", line.Raw("problems", problems_.Str()).Str());
    std::fflush(stdout);  // should the next archive crash it, this one has been said
  }

  void ShowDirectory(const std::string& archive, const std::string& above, handover::NodeId node) {
    for (const auto& child : List(node)) {
      const std::string path = above + child.name;
      CheckLookup(node, child, path);
      const auto& st = child.entry.attributes;
      JsonObject member;
      member.Text("path", path).Number("mode", st.st_mode).Number("size", st.st_size);
      if (S_ISDIR(st.st_mode)) {
        members_.Raw(member.Str());
        ShowDirectory(archive, path + "/", child.entry.node);
      } else {
        MemberCheck check(fs_, child.entry, contents_, Random(archive + "/" + path));
        check.Run(member);
        for (const auto& problem : check.problems()) problems_.Text(path + ": " + problem);
        members_.Raw(member.Str());
      }
      fs_.Forget(child.entry.node, 1);
    }
  }

  // What listing said is what looking up by name and by node says.
  void CheckLookup(handover::NodeId parent, const Child& child, const std::string& path) {
    const auto found = fs_.Lookup(parent, child.name);
    if (!found) {
      problems_.Text(path + ": listed, but not found");
      return;
    }
    const auto now = fs_.GetAttributes(found->node).attributes;
    const auto& listed = child.entry.attributes;
    if (found->node != child.entry.node || now.st_ino != listed.st_ino ||
        now.st_size != listed.st_size || now.st_mode != listed.st_mode) {
      problems_.Text(path + ": listed and found differ");
    }
    fs_.Forget(found->node, 1);
  }

  // An archive that cannot be opened says so, and the same, in every way it can be asked.
  void CheckUnreadable(handover::NodeId node, const Error& listing) {
    try {
      fs_.Lookup(node, "schema.json");
      problems_.Text("lookup in an archive that cannot be listed");
    } catch (const Error& error) {
      if (error.code() != listing.code()) problems_.Text("lookup and listing fail differently");
    }
    if (fs_.GetXattr(node, "user.skopsfs.error") != listing.what()) {
      problems_.Text("the error attribute is not the reason that listing gave");
    }
    if (!S_ISDIR(fs_.GetAttributes(node).attributes.st_mode)) {
      problems_.Text("an archive that cannot be opened is not a directory");
    }
  }

  std::mt19937_64 Random(const std::string& name) const {
    return std::mt19937_64(seed_ ^ std::hash<std::string>()(name));
  }

  fs::FileSystem fs_;
  ContentsFile contents_;
  const uint64_t seed_;
  JsonList members_;
  JsonList problems_;
};

}  // namespace
}  // namespace skopsfs::differential

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "usage: show_archives SOURCE CONTENTS SEED\n");
    return 2;
  }
  // A line for each damaged member would be all that one sees.
  skopsfs::util::SetLogSink([](auto, const auto&) { return true; });
  skopsfs::differential::Shower(argv[1], argv[2], std::strtoull(argv[3], nullptr, 10)).ShowAll();
  return 0;
}
