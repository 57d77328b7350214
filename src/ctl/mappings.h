#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace skopsfs::ctl {

// A file of a mount that a process has mapped.
struct Mapping {
  pid_t pid = 0;
  dev_t device = 0;
  uint64_t inode = 0;
  std::string path = {};  // as that process's namespace has it
  uint64_t resident = 0;  // bytes of the file's pages in the process's page tables
};

// The mappings of files on `devices` in the text of a /proc/PID/smaps. In that of a maps, all
// `resident` are 0. Pages that the process has written to are its own, and are not counted.
std::vector<Mapping> ParseMappings(std::string_view smaps, const std::set<dev_t>& devices);

struct Mappings {
  std::vector<Mapping> all = {};
  std::map<pid_t, std::string> names = {};  // of the processes that have them
  uint64_t unknown = 0;                     // processes that could not be looked at
  bool are_of_all_processes = true;         // else there may be others outside this PID namespace
};

// The mappings of all processes in `proc`. Processes that end meanwhile are left out.
Mappings ReadMappings(const std::set<dev_t>& devices, const std::string& proc = "/proc");

}  // namespace skopsfs::ctl
