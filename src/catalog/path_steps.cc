#include "catalog/path_steps.h"

#include <fcntl.h>
#include <unistd.h>

#include <climits>
#include <vector>

#include "util/error.h"

namespace skopsfs::catalog {

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

void PutFirst(std::deque<std::string>& components, std::string_view path) {
  std::vector<std::string> parts;
  const bool ends_in_slash = path.ends_with('/');
  while (!path.empty()) {
    const size_t slash = path.find('/');
    if (slash != 0) parts.emplace_back(path.substr(0, slash));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  if (ends_in_slash) parts.emplace_back(".");
  components.insert(components.begin(), parts.begin(), parts.end());
}

}  // namespace skopsfs::catalog
