#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "catalog/slot.h"

namespace skopsfs::catalog {

// An archive version that the kernel knows, as it is at one moment.
struct ArchiveStatus {
  enum class State { kOpen, kIdle, kFailed };

  std::string path;  // relative to the source; empty for a single archive
  uint64_t size = 0;
  State state = State::kIdle;
  bool is_current = true;       // else its name led to another version when last looked at
  bool was_looked_into = true;  // else nobody can have anything of it
  std::string reason;           // why it failed, or a member of it
};

// All of them.
struct ArchiveSummary {
  size_t open = 0;
  size_t idle = 0;
  size_t failed = 0;  // cannot be opened, or have a member that could not be read
  size_t superseded = 0;
  std::vector<ArchiveStatus> archives;  // failed ones first, then the last used first
  size_t left_out = 0;                  // of those
};

// Of these slots, the first `most` archives one by one. Waits for none: one that is in use this
// very moment is open, or no reason is given why it failed.
ArchiveSummary SummarizeArchives(const std::vector<std::shared_ptr<Slot>>& slots, size_t most);

}  // namespace skopsfs::catalog
