#include "ctl/mappings.h"

#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "ctl/files.h"
#include "util/error.h"

namespace skopsfs::ctl {
namespace {

constexpr size_t kMostBytes = size_t{256} << 20;  // of a smaps

// Takes the next word of a line.
std::string_view NextWord(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const auto word = line.substr(0, line.find_first_of(" \t"));
  line.remove_prefix(word.size());
  return word;
}

template <typename T>
bool ParseWhole(std::string_view text, T& number, int base) {
  const auto end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number, base);
  return result.ec == std::errc() && result.ptr == end;
}

// "START-END PERMISSIONS OFFSET MAJOR:MINOR INODE PATH"; nothing where a line is none of these.
std::optional<Mapping> ParseMapping(std::string_view line) {
  const auto range = NextWord(line);
  const auto dash = range.find('-');
  uint64_t address = 0;
  if (dash == std::string_view::npos || !ParseWhole(range.substr(0, dash), address, 16)) {
    return std::nullopt;
  }
  NextWord(line);
  NextWord(line);
  const auto device = NextWord(line);
  const auto colon = device.find(':');
  unsigned major_number = 0;
  unsigned minor_number = 0;
  Mapping mapping;
  if (colon == std::string_view::npos || !ParseWhole(device.substr(0, colon), major_number, 16) ||
      !ParseWhole(device.substr(colon + 1), minor_number, 16) ||
      !ParseWhole(NextWord(line), mapping.inode, 10)) {
    return std::nullopt;
  }
  mapping.device = makedev(major_number, minor_number);
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  mapping.path = line;
  return mapping;
}

// "KEY:   NUMBER kB" in bytes.
uint64_t AmountOf(std::string_view line) {
  NextWord(line);
  uint64_t amount = 0;
  ParseWhole(NextWord(line), amount, 10);
  return amount << 10;
}

// In a container /proc has the processes of its PID namespace only. Process 1 is that of /proc;
// where it may not be asked, we are most likely in the same namespace.
bool ShowsAllProcesses(const std::string& proc) {
  constexpr std::string_view kFirstNamespace = "pid:[4026531836]";  // on every Linux
  for (const auto* const process : {"1", "self"}) {
    std::array<char, 64> link{};
    const std::string path = JoinPath(proc, process) + "/ns/pid";
    const ssize_t size = readlink(path.c_str(), link.data(), link.size());
    if (size > 0)
      return std::string_view(link.data(), static_cast<size_t>(size)) == kFirstNamespace;
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
    const auto line = smaps.substr(0, smaps.find('\n'));
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
    pid_t pid = 0;
    if (!ParseWhole(std::string_view(name), pid, 10)) continue;
    const std::string folder = JoinPath(proc, name);
    try {
      // It is much quicker than smaps, which few need.
      if (ParseMappings(ReadWhole(folder + "/maps", kMostBytes), devices).empty()) continue;
      for (auto& mapping : ParseMappings(ReadWhole(folder + "/smaps", kMostBytes), devices)) {
        mapping.pid = pid;
        mappings.names.try_emplace(pid, NameOf(folder));
        mappings.all.push_back(std::move(mapping));
      }
    } catch (const util::Error& error) {
      if (error.code() != ENOENT && error.code() != ESRCH) ++mappings.unknown;
    }
  }
  return mappings;
}

std::map<dev_t, std::set<std::string>> PathsByName(const std::set<dev_t>& devices,
                                                   const std::string& proc) {
  std::map<dev_t, std::set<std::string>> found;
  if (devices.empty()) return found;
  for (const auto& name : ListFolder(proc)) {
    pid_t pid = 0;
    if (!ParseWhole(std::string_view(name), pid, 10)) continue;
    try {
      const auto maps = ReadWhole(JoinPath(JoinPath(proc, name), "maps"), kMostBytes);
      for (auto& mapping : ParseMappings(maps, devices)) {
        if (mapping.path.find("/by-name/") == std::string::npos) continue;
        found[mapping.device].insert(std::move(mapping.path));
      }
    } catch (const util::Error&) {  // it is counted where its mappings are
    }
  }
  return found;
}

}  // namespace skopsfs::ctl
