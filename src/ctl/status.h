#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ctl/mappings.h"
#include "ctl/mount_question.h"
#include "util/mount_table.h"

namespace skopsfs::ctl {

// Who uses an archive of a mount, and how much memory that takes.
struct ArchiveUse {
  std::optional<uint64_t> resident = {};  // bytes of its members in the page cache, if known
  uint64_t mapped = 0;             // the same as each process has mapped them, once each, summed up
  std::set<pid_t> processes = {};  // that map members

  // How much more memory a private copy in each process would take.
  std::optional<uint64_t> saved() const;
};

struct MountReport {
  util::MountEntry mount = {};
  MountAnswer answer = {};
  std::vector<ArchiveUse> uses = {};  // by archive of the answer
  ArchiveUse other = {};              // mappings of archives that the answer does not list
};

// Combines what a mount answered with what processes map of it.
MountReport MakeReport(const util::MountEntry& mount, MountAnswer answer,
                       const std::vector<Mapping>& mappings);

// `mappings` are those that the reports were made with.
std::string StatusText(const std::vector<MountReport>& reports, const Mappings& mappings,
                       bool with_processes);
std::string StatusJson(const std::vector<MountReport>& reports, const Mappings& mappings);

struct StatusOptions {
  std::string mountpoint = {};       // empty: all
  std::optional<double> watch = {};  // seconds between two looks
  bool json = false;
  bool processes = false;  // each by its name
};

// Prints the status of mounts, once or repeatedly. Returns the exit code, see app.h. Throws
// util::Error when they cannot be asked.
int ShowStatus(const StatusOptions& options);

}  // namespace skopsfs::ctl
