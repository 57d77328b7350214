#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "ctl/server_status.h"
#include "util/unique_fd.h"

namespace skopsfs::ctl {

// A member of an archive of a mount, and how much of it is in the page cache.
struct MemberPages {
  uint32_t archive = 0;  // number in ServerStatus::archives
  uint64_t inode = 0;
  uint64_t resident = 0;
};

struct MountAnswer {
  std::string problem = {};  // why there is no status; empty when there is one
  ServerStatus status = {};
  std::vector<MemberPages> members = {};
  std::vector<bool> looked_at = {};  // by archive: whether all of its members are there
  bool has_more = false;   // archives, which it does not know because nobody looked at them
  bool is_silent = false;  // it stopped answering
};

// Asks a mount for its status and for the pages of its members. First it looks at the names in the
// mount, so that the mount knows them, and knows which versions are old. A mount whose server hangs
// blocks its callers for ever, and no signal ends them. So a child process asks, which this owns,
// and leaves behind if need be. The constructor asks and Wait() waits, so that several mounts can
// be asked at the same time. Only for a process without threads.
class MountQuestion {
 public:
  static constexpr auto kPatience = std::chrono::seconds(5);

  // The answer also has the pages of the members `by_name`: paths below a folder by-name, as any
  // process has them. Throws util::Error when no child can be made.
  explicit MountQuestion(const std::string& mountpoint, const std::set<std::string>& by_name = {});
  ~MountQuestion();
  MountQuestion(const MountQuestion&) = delete;
  MountQuestion& operator=(const MountQuestion&) = delete;

  // Waits until the child has told all, or has told nothing for `patience`.
  MountAnswer Wait(std::chrono::milliseconds patience = kPatience);

 private:
  using Clock = std::chrono::steady_clock;

  util::UniqueFd pipe_;
  pid_t child_ = -1;
  Clock::time_point heard_ = Clock::now();
};

}  // namespace skopsfs::ctl
