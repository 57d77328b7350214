#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "util/unique_fd.h"

namespace skopsfs::source {

// Steps of a path that is walked one component at a time.

inline constexpr int kMostLinks = 40;  // that are followed, as in the kernel

// An O_PATH descriptor, of a link itself if `name` is one; none, with errno, when it fails.
util::UniqueFd OpenStep(int folder, const std::string& name);

// Where the link leads. Throws util::Error.
std::string ReadLink(const util::UniqueFd& fd);

// Puts the components of `path` in front of those still to be walked. A slash at the end stands for
// a folder, as "/." does.
void PutFirst(std::deque<std::string>& components, std::string_view path);

}  // namespace skopsfs::source
