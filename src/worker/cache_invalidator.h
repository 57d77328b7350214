#pragma once

#include <cstdint>
#include <span>

#include "fs/file_system.h"

namespace skopsfs::worker {

// Has the kernel drop nodes from its cache that nobody uses, so that it forgets them. Owns no
// descriptor. Thread-safe.
class CacheInvalidator {
 public:
  // `mount` (/dev/fuse) and `notifier` (see NotifierProcess) stay the caller's.
  CacheInvalidator(int mount, int notifier) : mount_(mount), notifier_(notifier) {}

  // Has it drop those of these nodes that it knows. A node comes before those above it. Waits for
  // no folder's lock, but for pages of them that are being read. Only where
  // SessionState::OffersPrune().
  void Prune(std::span<const uint64_t> nodes) const;

  // Has it drop the node that a name leads to, if it knows the name. The kernel takes the lock of
  // the folder for that, so another process tells it, later. Nobody does when there is too much to
  // do.
  void InvalidateEntry(const fs::NamedNode& named) const;

 private:
  const int mount_;
  const int notifier_;
};

}  // namespace skopsfs::worker
