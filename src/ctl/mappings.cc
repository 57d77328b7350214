#include "ctl/mappings.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "ctl/files.h"
#include "util/error.h"
#include "util/number.h"

namespace skopsfs::ctl {
namespace {

constexpr size_t kMostBytes = size_t{256} << 20;  // of a smaps

// "START-END PERMISSIONS OFFSET MAJOR:MINOR INODE PATH"; nothing where a line is none of these.
std::optional<Mapping> ParseMapping(const std::string& line) {
  unsigned major_number = 0;
  unsigned minor_number = 0;
  Mapping mapping;
  int path = 0;
  const int read = std::sscanf(line.c_str(), "%*x-%*x %*s %*x %x:%x %" SCNu64 " %n", &major_number,
                               &minor_number, &mapping.inode, &path);
  if (read < 3) return std::nullopt;
  mapping.device = makedev(major_number, minor_number);
  mapping.path = line.substr(static_cast<size_t>(path));
  return mapping;
}

// "KEY:   NUMBER kB" in bytes.
uint64_t AmountOf(const std::string& line) {
  uint64_t amount = 0;
  std::sscanf(line.c_str(), "%*s %" SCNu64, &amount);
  return amount << 10;
}

// In a container /proc has the processes of its PID namespace only. Process 1 is that of /proc;
// where it may not be asked, we are most likely in the same namespace.
bool ShowsAllProcesses(const std::string& proc) {
  constexpr std::string_view kFirstNamespace = "pid:[4026531836]";  // on every Linux
  for (const auto* const process : {"1", "self"}) {
    std::error_code failed;
    const auto link = std::filesystem::read_symlink(JoinPath(proc, process) + "/ns/pid", failed);
    if (!failed) return link == kFirstNamespace;
  }
  return true;
}

std::string NameOf(const std::string& process) {
  constexpr size_t kMost = 64;  // the kernel's are shorter
  try {
    std::string name = ReadWhole(process + "/comm", kMost);
    if (name.ends_with('\n')) name.pop_back();
    return name;
  } catch (const util::Error&) {
    return {};
  }
}

}  // namespace

std::vector<Mapping> ParseMappings(std::string_view smaps, const std::set<dev_t>& devices) {
  std::vector<Mapping> found;
  bool is_ours = false;
  while (!smaps.empty()) {
    const std::string line(smaps.substr(0, smaps.find('\n')));
    smaps.remove_prefix(std::min(smaps.size(), line.size() + 1));
    if (auto mapping = ParseMapping(line)) {
      is_ours = devices.contains(mapping->device);
      if (is_ours) found.push_back(std::move(*mapping));
    } else if (is_ours && line.starts_with("Rss:")) {
      found.back().resident += AmountOf(line);
    } else if (is_ours && line.starts_with("Anonymous:")) {
      found.back().resident -= std::min(found.back().resident, AmountOf(line));
    }
  }
  return found;
}

Mappings ReadMappings(const std::set<dev_t>& devices, const std::string& proc) {
  Mappings mappings{.are_of_all_processes = ShowsAllProcesses(proc)};
  for (const auto& name : ListFolder(proc)) {
    const auto pid = util::ParseNumber<pid_t>(name);
    if (!pid) continue;
    const std::string folder = JoinPath(proc, name);
    try {
      // It is much quicker than smaps, which few need.
      if (ParseMappings(ReadWhole(folder + "/maps", kMostBytes), devices).empty()) continue;
      for (auto& mapping : ParseMappings(ReadWhole(folder + "/smaps", kMostBytes), devices)) {
        mapping.pid = *pid;
        mappings.names.try_emplace(*pid, NameOf(folder));
        mappings.all.push_back(std::move(mapping));
      }
    } catch (const util::Error& error) {
      if (error.code() != ENOENT && error.code() != ESRCH) ++mappings.unknown;
    }
  }
  return mappings;
}

}  // namespace skopsfs::ctl
