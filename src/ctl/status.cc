#include "ctl/status.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <thread>
#include <unordered_map>
#include <utility>

#include "ctl/app.h"
#include "ctl/mounts.h"
#include "ctl/text.h"
#include "util/error.h"

namespace skopsfs::ctl {
namespace {

using util::MountEntry;

// The archive of a file that none of the members known is: of a version that was replaced, or of
// members that were not looked at. Not one whose members are all known.
std::optional<size_t> FindByPath(const MountAnswer& answer, const std::string& path) {
  const auto& status = answer.status;
  std::optional<size_t> found;
  for (size_t i = 0; i < status.archives.size(); ++i) {
    const auto& archive = status.archives[i];
    const bool matches =
        archive.path.empty() || path.find("/" + archive.path + "/") != std::string::npos;
    const bool is_known = i < answer.looked_at.size() && answer.looked_at[i];
    if (!matches || is_known) continue;
    const bool is_better = !found || archive.path.size() > status.archives[*found].path.size() ||
                           (archive.path.size() == status.archives[*found].path.size() &&
                            status.archives[*found].is_current && !archive.is_current);
    if (is_better) found = i;
  }
  return found;
}

// `path` as mountinfo has it. What is there may be dead: only what is above it is touched.
std::string MountedPath(const std::string& path) {
  std::filesystem::path full = std::filesystem::absolute(path).lexically_normal();
  if (!full.has_filename()) full = full.parent_path();
  std::error_code error;
  const auto parent = std::filesystem::canonical(full.parent_path(), error);
  return (error ? full : parent / full.filename()).string();
}

// One mountpoint of each mount. Throws util::Error where `wanted` is none.
std::vector<MountEntry> MountsToAsk(const std::string& wanted) {
  std::vector<MountEntry> chosen;
  for (auto& mount : ReadMounts()) {
    if (!wanted.empty()) {
      if (mount.mountpoint == MountedPath(wanted)) chosen.push_back(std::move(mount));
      continue;
    }
    const auto known = std::find_if(chosen.begin(), chosen.end(), [&](const MountEntry& other) {
      return other.device == mount.device;
    });
    if (known == chosen.end()) {
      chosen.push_back(std::move(mount));
    } else if (mount.root == "/" && known->root != "/") {
      *known = std::move(mount);
    }
  }
  if (!wanted.empty() && chosen.empty()) {
    throw util::Error(ENOENT,
                      fmt::format("{}: it is not a mountpoint of skopsfs; skopsfsctl status "
                                  "shows those there are",
                                  NameText(wanted)));
  }
  return chosen;
}

struct Snapshot {
  std::vector<MountReport> reports;
  Mappings mappings;

  bool all_answer() const {
    return std::all_of(reports.begin(), reports.end(),
                       [](const MountReport& report) { return report.answer.problem.empty(); });
  }
};

Snapshot Look(const std::string& wanted) {
  const auto mounts = MountsToAsk(wanted);
  Snapshot snapshot;
  if (mounts.empty()) return snapshot;
  std::set<dev_t> devices;
  for (const auto& mount : mounts) devices.insert(mount.device);
  snapshot.mappings = ReadMappings(devices);
  std::map<dev_t, std::set<std::string>> by_name;  // arrays in an npz have names only there
  for (const auto& mapping : snapshot.mappings.all) {
    const bool is_there = mapping.path.find("/by-name/") != std::string::npos;
    if (is_there) by_name[mapping.device].insert(mapping.path);
  }
  std::vector<std::unique_ptr<MountQuestion>> questions;
  questions.reserve(mounts.size());
  for (const auto& mount : mounts) {
    questions.push_back(std::make_unique<MountQuestion>(mount.mountpoint, by_name[mount.device]));
  }
  std::vector<MountAnswer> answers;
  answers.reserve(questions.size());
  for (const auto& question : questions) answers.push_back(question->Wait());
  for (size_t i = 0; i < mounts.size(); ++i) {
    // Most likely another program's.
    if (!IsCertain(mounts[i]) && !answers[i].problem.empty() && wanted.empty()) continue;
    snapshot.reports.push_back(MakeReport(mounts[i], std::move(answers[i]), snapshot.mappings.all));
  }
  return snapshot;
}

void PrintStatus(const Snapshot& snapshot, const StatusOptions& options) {
  const auto& [reports, mappings] = snapshot;
  const bool redraws = options.watch && !options.json && isatty(STDOUT_FILENO) == 1;
  constexpr auto kClearScreen = "\033[H\033[2J";
  fmt::print("{}{}", redraws ? kClearScreen : "",
             options.json ? StatusJson(reports, mappings)
                          : StatusText(reports, mappings, options.processes));
  if (options.watch && !options.json && !redraws) fmt::print("\n");
  std::fflush(stdout);
}

}  // namespace

std::optional<uint64_t> ArchiveUse::saved() const {
  if (!resident) return std::nullopt;
  return mapped > *resident ? mapped - *resident : 0;
}

MountReport MakeReport(const MountEntry& mount, MountAnswer answer,
                       const std::vector<Mapping>& mappings) {
  MountReport report{.mount = mount, .answer = std::move(answer)};
  const auto& known = report.answer;
  report.uses.resize(known.status.archives.size());
  for (size_t i = 0; i < report.uses.size(); ++i) {
    if (i < known.looked_at.size() && known.looked_at[i]) report.uses[i].resident = 0;
  }
  std::unordered_map<uint64_t, size_t> archive_of;     // by inode
  std::unordered_map<uint64_t, uint64_t> resident_of;  // likewise
  for (const auto& member : known.members) {
    if (member.archive >= report.uses.size()) continue;
    auto& use = report.uses[member.archive];
    if (archive_of.emplace(member.inode, member.archive).second && use.resident) {
      *use.resident += member.resident;
      resident_of[member.inode] = member.resident;
    }
  }
  std::map<std::pair<pid_t, uint64_t>, uint64_t> mapped;  // by process, and inode
  for (const auto& mapping : mappings) {
    if (mapping.device != mount.device) continue;
    const auto member = archive_of.find(mapping.inode);
    const auto archive = member != archive_of.end() ? std::optional(member->second)
                                                    : FindByPath(known, mapping.path);
    ArchiveUse& use = archive ? report.uses[*archive] : report.other;
    // A file that a process has mapped twice would be one private copy.
    auto& before = mapped[{mapping.pid, mapping.inode}];
    const auto most = resident_of.find(mapping.inode);
    const uint64_t now = before + mapping.resident;
    const uint64_t counted = most != resident_of.end() ? std::min(now, most->second) : now;
    use.mapped += std::max(counted, before) - before;
    before = std::max(counted, before);
    use.processes.insert(mapping.pid);
  }
  return report;
}

int ShowStatus(const StatusOptions& options) {
  while (true) {
    // Those that were left behind, and whose mount has answered or gone since.
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    const Snapshot snapshot = Look(options.mountpoint);
    PrintStatus(snapshot, options);
    if (!options.watch) return snapshot.all_answer() ? kExitGood : kExitWrong;
    std::this_thread::sleep_for(std::chrono::duration<double>(*options.watch));
  }
}

}  // namespace skopsfs::ctl
