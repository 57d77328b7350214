#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <climits>
#include <deque>
#include <string>
#include <string_view>

#include "util/error.h"
#include "util/unique_fd.h"

// What a walk along a path does, one component at a time.
namespace skopsfs::source {

inline constexpr int kMostLinks = 40;  // a walk follows, as in the kernel

// An O_PATH descriptor of `name`, which may be a link. None, with errno, when it fails.
inline util::UniqueFd OpenStep(int folder, const std::string& name) {
  return util::UniqueFd(openat(folder, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
}

// Where the link leads. Throws util::Error.
inline std::string ReadLink(const util::UniqueFd& fd) {
  std::string target(PATH_MAX, '\0');
  const ssize_t size = readlinkat(fd.get(), "", target.data(), target.size());
  if (size < 0) throw util::ErrnoError("reading a symbolic link");
  target.resize(static_cast<size_t>(size));
  return target;
}

// Puts the components of `path` in front of those still to be walked. A slash at the end stands for
// a folder, as "/." does.
inline void PrependComponents(std::deque<std::string>& components, std::string_view path) {
  if (path.ends_with('/')) components.emplace_front(".");
  while (!path.empty()) {
    const size_t begin = path.rfind('/') + 1;  // 0 where there is none
    if (begin < path.size()) components.emplace_front(path.substr(begin));
    path = path.substr(0, begin == 0 ? 0 : begin - 1);
  }
}

}  // namespace skopsfs::source
