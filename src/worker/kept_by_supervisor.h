#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "catalog/descriptor_store.h"
#include "handover/channel.h"
#include "util/mutex.h"

namespace skopsfs::worker {

// Has the supervisor keep descriptors. Waits for nobody: what the supervisor does not take at once,
// or has no room for, is not kept. It is told of each one that is to be dropped, since a file that
// has no name any more would go on filling a disk. Owns no descriptor. Thread-safe.
class KeptBySupervisor : public catalog::DescriptorStore {
 public:
  // `inherited`: how many a predecessor had kept. The supervisor has room for `most`.
  KeptBySupervisor(handover::Channel& supervisor, uint32_t generation, size_t inherited,
                   size_t most);

  uint64_t Keep(uint64_t slot_id, int fd) noexcept override;
  void Drop(uint64_t number) noexcept override;
  void TryAgain() noexcept override;

  // Tells all that was not told, and waits for that. To be called at the end, when no other thread
  // uses it.
  void SendRest() noexcept;

 private:
  bool ReserveOneMore() noexcept REQUIRES(mutex_);
  void SendDrops() noexcept REQUIRES(mutex_);

  handover::Channel& supervisor_;
  const size_t most_;
  util::Mutex mutex_;  // before the log's
  uint64_t last_ GUARDED_BY(mutex_);
  bool too_many_ GUARDED_BY(mutex_) = false;  // descriptors were under way at the last try
  size_t held_ GUARDED_BY(mutex_);            // by the supervisor
  // That it is still to be told; has room for all of them.
  std::vector<uint64_t> undropped_ GUARDED_BY(mutex_);
};

}  // namespace skopsfs::worker
