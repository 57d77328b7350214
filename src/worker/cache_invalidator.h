#pragma once

#include <cstdint>
#include <span>

#include "fs/file_system.h"

namespace skopsfs::worker {

// Has the kernel drop nodes of old versions that it has in its cache and nobody uses, so that it
// forgets them. Thread-safe.
class CacheInvalidator {
 public:
  // `mount` (/dev/fuse) and `notifier` (see NotifierProcess) stay the caller's.
  CacheInvalidator(int mount, int notifier) : mount_(mount), notifier_(notifier) {}

  // Those of these nodes that it knows. Waits for no folder's lock, but for pages that are being
  // read of what it drops. Those below others come first. Only where SessionState::OffersPrune().
  void Prune(std::span<const uint64_t> nodes) const;

  // The node that a name leads to, if the name is known. That takes the lock of the folder above
  // it, so another process does it, later; or nobody, when there is too much to do.
  void InvalidateEntry(const fs::NamedNode& named) const;

 private:
  const int mount_;
  const int notifier_;
};

}  // namespace skopsfs::worker
