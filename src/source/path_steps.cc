#include "source/path_steps.h"

#include <fcntl.h>
#include <unistd.h>

#include <climits>

#include "util/error.h"

namespace skopsfs::source {

using util::ErrnoError;
using util::UniqueFd;

UniqueFd OpenStep(int folder, const std::string& name) {
  return UniqueFd(openat(folder, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
}

std::string ReadLink(const UniqueFd& fd) {
  std::string target(PATH_MAX, '\0');
  const ssize_t size = readlinkat(fd.get(), "", target.data(), target.size());
  if (size < 0) throw ErrnoError("reading a symbolic link");
  target.resize(static_cast<size_t>(size));
  return target;
}

void PrependComponents(std::deque<std::string>& components, std::string_view path) {
  if (path.ends_with('/')) components.emplace_front(".");
  while (!path.empty()) {
    const size_t begin = path.rfind('/') + 1;  // 0 where there is none
    if (begin < path.size()) components.emplace_front(path.substr(begin));
    path = path.substr(0, begin == 0 ? 0 : begin - 1);
  }
}

}  // namespace skopsfs::source
