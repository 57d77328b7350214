#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>

#include "source/own_mount.h"
#include "util/unique_fd.h"

namespace skopsfs::source {

// A folder that paths are resolved in and never leave: symbolic links are followed while they stay
// inside. Links to absolute paths count as inside when they name something below the folder's own
// path. Immutable and thread-safe.
class ContainedResolver {
 public:
  // `root` is an O_PATH descriptor of the folder, `root_path` its canonical absolute path,
  // `given_path` another one that links may use for it. Nothing of `own` is opened (EDEADLK).
  ContainedResolver(util::UniqueFd root, std::string root_path, std::string given_path = {},
                    OwnMount own = OwnMount());

  // An O_PATH descriptor of what `path` (relative; empty for the folder itself) leads to. Throws
  // util::Error: EXDEV where a link leaves the folder, else the errno of the walk.
  util::UniqueFd Open(const std::string& path) const;

  // The same one component at a time: where there are links or mounts, for kernels before 5.6, and
  // to see which folders the way leads through, which `visit` is called with (their modes within
  // their access lists).
  using Visit = std::function<void(const struct stat& folder)>;
  util::UniqueFd Walk(const std::string& path, const Visit& visit = {}) const;

  int root() const { return root_.get(); }

 private:
  util::UniqueFd root_;
  std::string root_path_;
  std::string given_path_;
  OwnMount own_;
};

}  // namespace skopsfs::source
