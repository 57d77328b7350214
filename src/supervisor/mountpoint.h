#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace skopsfs::supervisor {

// Makes sure that `path` is a folder to mount on and returns its canonical path. A dead mount found
// there (its server is gone) is detached first. Throws util::Error when there is no such folder or
// a live skopsfs is mounted on it already.
std::string PrepareMountpoint(const std::string& path);

// A name in the folder `path`; nothing when it is empty, or cannot be listed.
std::optional<std::string> AnyNameIn(const std::string& path);

// A skopsfs that is mounted.
struct FoundMount {
  uint64_t id = 0;   // the kernel's number; once a mount is gone, another may be given it
  dev_t device = 0;  // likewise
  std::optional<uint64_t> unique_id = {};  // given once; since Linux 6.8
};

// The one that is mounted topmost at the canonical `path`; nothing when none is.
std::optional<FoundMount> TopMount(const std::string& path);

// Detaches what is mounted topmost at `path`, dead or in use. False when it cannot.
bool DetachMount(const std::string& path);

// Whether the canonical `path` lies strictly inside the folder `folder`.
bool LiesInside(const std::string& path, const std::string& folder);

}  // namespace skopsfs::supervisor
