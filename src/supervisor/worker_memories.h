#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "handover/channel.h"
#include "handover/session_state.h"
#include "handover/slot_store.h"
#include "util/unique_fd.h"

namespace skopsfs::supervisor {

// The memories that the workers of a mount share one after the other. Owns them, and maps none: a
// worker may write anything there at any time. Use from one thread.
class WorkerMemories {
 public:
  // Throws util::Error when there is no memory for them.
  WorkerMemories();
  // Those that were handed over, with what KernelResends() was fixed to.
  WorkerMemories(util::UniqueFd session, util::UniqueFd slots, util::UniqueFd metrics,
                 bool kernel_resends)
      : session_(std::move(session)),
        slots_(std::move(slots)),
        metrics_(std::move(metrics)),
        kernel_resends_(kernel_resends) {}

  int session() const { return session_.get(); }
  int slots() const { return slots_.get(); }
  int metrics() const { return metrics_.get(); }

  void SendTo(const handover::Channel& worker) const;

  // What the threads of the worker are at, or were at when it ended. The latter is told once.
  // Both throw util::Error.
  std::vector<handover::RequestSeen> ReadRequests() const;
  std::vector<handover::RequestSeen> TakeRequests() const;
  // How many requests workers have taken so far.
  uint64_t RequestsBegun() const { return handover::SessionState::RequestsBegun(session()); }

  // See SlotStore::Read().
  std::optional<handover::SlotStore::Seen> ReadSlot(uint64_t slot) const;
  // How the log calls a slot: by its path, or that of the source for its root.
  std::string LabelOf(uint64_t slot, const std::string& source_path) const;

  // Whether the kernel has said hello, and whether it asks again what a worker has not answered.
  bool HasInit() const { return handover::SessionState::HasInit(session()); }
  bool KernelResends() const;
  // From now on the latter stays as it is, whatever workers write.
  void FixKernelResends() { kernel_resends_ = KernelResends(); }

 private:
  const util::UniqueFd session_;
  const util::UniqueFd slots_;
  const util::UniqueFd metrics_;
  std::optional<bool> kernel_resends_;
};

}  // namespace skopsfs::supervisor
