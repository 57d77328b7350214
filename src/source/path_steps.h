#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "util/unique_fd.h"

namespace skopsfs::source {

// What a walk along a path does, one component at a time.

inline constexpr int kMostLinks = 40;  // a walk follows, as in the kernel

// An O_PATH descriptor of `name`, which may be a link. None, with errno, when it fails.
util::UniqueFd OpenStep(int folder, const std::string& name);

// Where the link leads. Throws util::Error.
std::string ReadLink(const util::UniqueFd& fd);

// Puts the components of `path` in front of those still to be walked. A slash at the end stands for
// a folder, as "/." does.
void PrependComponents(std::deque<std::string>& components, std::string_view path);

}  // namespace skopsfs::source
