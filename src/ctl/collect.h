#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ctl/archive_target.h"
#include "ctl/mounts.h"
#include "ctl/read_through.h"

namespace skopsfs::ctl {

// Finds the archives that paths lead to. A path on a mount of skopsfs is read through the mount. A
// file elsewhere is read as an archive. Of a folder, all .skops files in it and in its sub-folders
// are read. Links to files are followed, those to folders are not. Not thread-safe.
class Collector {
 public:
  using Problem = std::function<void(const std::string& path, const std::string& reason)>;

  struct Options {
    bool compares = true;      // members on mounts with their CRC-32
    bool only_mounts = false;  // what lies elsewhere is a problem
  };

  // Calls `problem` with what cannot be looked at. `memory`, and what `problem` refers to, must
  // outlive the targets.
  Collector(std::vector<util::MountEntry> mounts, const Options& options,
            ArchiveTarget::Memory& memory, Problem problem)
      : mounts_(std::move(mounts)),
        options_(options),
        memory_(memory),
        problem_(std::move(problem)) {}

  void Add(const std::string& path);

  std::vector<std::unique_ptr<Target>> Take() { return std::move(targets_); }

 private:
  void AddFolder(const std::string& path);
  void AddChild(const std::string& path);
  void AddMounted(const std::string& path, bool is_folder);
  void Tell(const std::string& path, const std::string& reason);

  const std::vector<util::MountEntry> mounts_;
  const Options options_;
  ArchiveTarget::Memory& memory_;
  const Problem problem_;
  std::vector<std::unique_ptr<Target>> targets_;
  size_t told_ = 0;  // problems
};

}  // namespace skopsfs::ctl
