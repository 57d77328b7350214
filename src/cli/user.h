#pragma once

#include <string>

#include "fuse/sandbox.h"

namespace skopsfs::cli {

// The ids of "USER[:GROUP]", both names or numbers; without a group, the user's own. Throws
// util::Error when there is no such user or group.
fuse::UserIds FindUser(const std::string& text);

}  // namespace skopsfs::cli
