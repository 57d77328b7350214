#pragma once

#include <cstdint>
#include <span>

#include "fs/file_system.h"

namespace skopsfs::fuse {

// Has the kernel drop nodes of old versions that it has in its cache and nobody uses, so that it
// forgets them. Thread-safe.
class NameDropper {
 public:
  // `mount` (/dev/fuse) stays the caller's; `prunes`: the kernel takes nodes, see
  // SessionState::OffersPrune().
  NameDropper(int mount, bool prunes) : mount_(mount), prunes_(prunes) {}

  bool prunes() const { return prunes_; }

  // Those of these nodes that it knows. Waits for no folder's lock, but for pages that are being
  // read of what it drops. Those below others come first. Only where it `prunes()`.
  void Prune(std::span<const uint64_t> nodes) const;

  // The node that a name leads to, if the name is known. Takes the lock of the folder above it.
  void Drop(const fs::StaleName& stale) const;

 private:
  const int mount_;
  const bool prunes_;
};

}  // namespace skopsfs::fuse
