#include "supervisor/worker_memories.h"

#include "handover/counters.h"
#include "handover/slot_store.h"

namespace skopsfs::supervisor {

using handover::SessionState;
using handover::Tell;

WorkerMemories::WorkerMemories()
    : session_(SessionState::MakeMemory()),
      slots_(handover::SlotStore::MakeMemory()),
      metrics_(handover::SharedCounters::MakeMemory()) {}

void WorkerMemories::SendTo(const handover::Channel& worker) const {
  worker.Send(Tell::kSession, 0, 0, session());
  worker.Send(Tell::kSlots, 0, 0, slots());
  worker.Send(Tell::kMetrics, 0, 0, metrics());
}

std::vector<handover::RequestSeen> WorkerMemories::TakeRequests() const {
  auto requests = SessionState::ReadRequests(session());
  SessionState::ForgetRequests(session());
  return requests;
}

bool WorkerMemories::KernelResends() const {
  return kernel_resends_ ? *kernel_resends_ : SessionState::KernelResends(session());
}

}  // namespace skopsfs::supervisor
