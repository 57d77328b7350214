#include "ctl/collect.h"

#include <sys/stat.h>
#include <unistd.h>

#include "ctl/files.h"
#include "ctl/mounted_target.h"
#include "source/source.h"
#include "util/error.h"

namespace skopsfs::ctl {

using util::ErrnoError;

void Collector::Tell(const std::string& path, const std::string& reason) {
  ++told_;
  problem_(path, reason);
}

void Collector::Add(const std::string& path) {
  const size_t before = targets_.size() + told_;
  struct stat st {};
  if (stat(path.c_str(), &st) != 0) {
    const int error = errno;
    const bool is_dead = error == ENOTCONN || error == ECONNABORTED;
    return Tell(path, std::string(is_dead ? "its mount is dead; unmount it and mount it anew"
                                          : ErrnoError("it cannot be looked at", error).what()));
  }
  if (IsOnMount(mounts_, st.st_dev)) {
    AddMounted(path, S_ISDIR(st.st_mode));
  } else if (options_.only_mounts) {
    Tell(path, "it does not lie on a mount of skopsfs, see skopsfsctl status");
  } else if (S_ISDIR(st.st_mode)) {
    AddFolder(path);
  } else {
    targets_.push_back(
        std::make_unique<ArchiveTarget>(path, static_cast<uint64_t>(st.st_size), memory_));
  }
  if (targets_.size() + told_ == before) Tell(path, "no archives (.skops) are in it");
}

void Collector::AddFolder(const std::string& path) {
  try {
    for (const auto& name : ListFolder(path)) AddChild(JoinPath(path, name));
  } catch (const util::Error& error) {
    Tell(path, error.what());
  }
}

void Collector::AddChild(const std::string& path) {
  struct stat link {};
  struct stat st {};
  if (lstat(path.c_str(), &link) != 0) {
    if (errno != ENOENT) Tell(path, ErrnoError("it cannot be looked at").what());
    return;
  }
  if (S_ISDIR(link.st_mode)) {
    return IsOnMount(mounts_, link.st_dev) ? AddMounted(path, true) : AddFolder(path);
  }
  if (!source::IsArchiveName(path.substr(path.rfind('/') + 1))) return;
  if (stat(path.c_str(), &st) != 0) {
    return Tell(path, ErrnoError("it cannot be looked at").what());
  }
  if (!S_ISREG(st.st_mode)) return;
  targets_.push_back(
      std::make_unique<ArchiveTarget>(path, static_cast<uint64_t>(st.st_size), memory_));
}

void Collector::AddMounted(const std::string& path, bool is_folder) {
  // What is neither a folder of the source nor a plain file tells its archive, to who may read it.
  if (ReadAttribute(path, "archive") || (!is_folder && access(path.c_str(), R_OK) != 0)) {
    targets_.push_back(std::make_unique<MountedTarget>(path, options_.compares));
  } else if (is_folder) {
    AddFolder(path);
  } else {
    Tell(path, "it is not an archive and does not lie in one");
  }
}

}  // namespace skopsfs::ctl
