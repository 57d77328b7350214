#pragma once

#include <cstdint>

#include "catalog/slot.h"
#include "handover/node_id.h"

namespace skopsfs::fs {

// The nodes of an archive version that the kernel may know, numbered. What is in a directory comes
// before the directory, and the version itself is the last. They are counted by the slot's record,
// so nothing is parsed. Immutable.
class KnownNodes {
 public:
  explicit KnownNodes(const catalog::Slot& slot);

  uint64_t size() const { return inner_ + names_ + members_; }
  handover::NodeId At(uint64_t number) const;

 private:
  const uint64_t slot_;
  uint64_t inner_ = 0;  // in all npz
  uint64_t names_ = 0;
  uint64_t members_ = 1;
};

}  // namespace skopsfs::fs
