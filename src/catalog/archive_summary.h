#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "catalog/slot.h"

namespace skopsfs::catalog {

// The state of an archive version that the kernel knows.
struct ArchiveStatus {
  enum class State { kOpen, kIdle, kFailed };

  std::string path;  // relative to the source; empty for a single archive
  uint64_t size = 0;
  State state = State::kIdle;
  bool is_current = true;       // else its name led to another version when last looked at
  bool was_looked_into = true;  // else nobody can have anything of it
  std::string reason;           // why it failed, or a member of it
};

// The states of all of them, counted.
struct ArchiveSummary {
  size_t open = 0;
  size_t idle = 0;
  size_t failed = 0;  // cannot be opened, or have a member that could not be read
  size_t superseded = 0;
  std::vector<ArchiveStatus> archives;  // failed ones first, then the last used first
  size_t left_out = 0;                  // of those
};

// Summarizes these slots, with the first `most` archives one by one. It waits for no slot: one that
// another thread uses at this moment counts as open.
ArchiveSummary SummarizeArchives(const std::vector<std::shared_ptr<Slot>>& slots, size_t most);

}  // namespace skopsfs::catalog
