#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>

#include "source/own_mount.h"
#include "util/unique_fd.h"

namespace skopsfs::source {

// Resolves paths that never leave a folder. A symbolic link is followed while it stays inside. A
// link to an absolute path stays inside when that lies below the folder's own path. Owns a
// descriptor of the folder. Immutable and thread-safe.
class ContainedResolver {
 public:
  // `root` is an O_PATH descriptor of the folder. `root_path` is its canonical absolute path. Links
  // may also use `given_path` for it. Nothing of the mount `own` is opened (EDEADLK).
  ContainedResolver(util::UniqueFd root, std::string root_path, std::string given_path = {},
                    OwnMount own = OwnMount());

  // An O_PATH descriptor of what `path` leads to. It is relative; an empty one is the folder
  // itself. Throws util::Error: EXDEV where a link leaves the folder, else the errno of the step
  // that fails.
  util::UniqueFd Open(const std::string& path) const;

  // The same, one component at a time. Open() needs it where there are links or mounts, and on
  // kernels before 5.6. `visit` is called with each folder that the path leads through; its mode is
  // within its access list.
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
