#include "supervisor/worker_memories.h"

#include "handover/counters.h"
#include "util/log.h"

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

std::vector<handover::RequestSeen> WorkerMemories::ReadRequests() const {
  return SessionState::ReadRequests(session());
}

std::vector<handover::RequestSeen> WorkerMemories::TakeRequests() const {
  auto requests = ReadRequests();
  SessionState::ForgetRequests(session());
  return requests;
}

std::optional<handover::SlotStore::Seen> WorkerMemories::ReadSlot(uint64_t slot) const {
  return handover::SlotStore::Read(slots(), slot);
}

std::string WorkerMemories::LabelOf(uint64_t slot, const std::string& source_path) const {
  const auto seen = ReadSlot(slot);
  return util::Quoted(!seen || seen->path.empty() ? source_path : seen->path);
}

bool WorkerMemories::KernelResends() const {
  return kernel_resends_ ? *kernel_resends_ : SessionState::KernelResends(session());
}

}  // namespace skopsfs::supervisor
