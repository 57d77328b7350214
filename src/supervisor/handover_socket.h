#pragma once

#include <optional>
#include <string>

#include "handover/channel.h"
#include "util/unique_fd.h"

namespace skopsfs::supervisor {

// Who is found at the socket by which a mount goes from one supervisor to the next.
struct Meeting {
  std::optional<handover::Channel> predecessor;  // who serves, or is about to
  util::UniqueFd listener;  // or nobody: then this process is found there from now on
};

// Takes the socket at `path` when nobody listens there: it makes one, for this user alone, or
// replaces one that is left of a process that has ended. Of several that do so at a time one gets
// it. Throws util::Error when something else is there, or somebody else's.
Meeting MeetAt(const std::string& path);

// Whoever has come to `listener`; nothing when that one is gone, or of another user.
std::optional<handover::Channel> AcceptAt(int listener);

}  // namespace skopsfs::supervisor
