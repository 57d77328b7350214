#include "supervisor/quarantine.h"

#include <fmt/format.h>

#include <algorithm>

#include "handover/node_id.h"
#include "util/log.h"

namespace skopsfs::supervisor {

using handover::NodeId;

void Quarantine::WorkerDied(std::vector<handover::RequestSeen> requests,
                            const std::vector<handover::RequestSeen>& stuck) {
  // What it said of itself is no archive's fault.
  std::erase_if(requests, [](auto& request) { return NodeId::From(request.node).is_status(); });
  for (auto& request : requests) {
    const bool timed_out = std::any_of(stuck.begin(), stuck.end(),
                                       [&](auto& other) { return other.unique == request.unique; });
    if (timed_out) request.crashed = handover::kTimedOut;
    // The root is another version of a single archive each time.
    if (is_single_archive_ && NodeId::From(request.node).slot == 0) {
      const auto seen = memories_.ReadSlot(0);
      if (seen) request.node = NodeId{.slot = seen->id, .index = 0}.number();
    }
  }
  crashes_.WorkerDied(requests);
  Tell();
}

void Quarantine::Tell() {
  for (const auto& [slot, reason] : crashes_.quarantined()) {
    if (told_.contains(slot)) continue;
    const auto seen = memories_.ReadSlot(slot);
    const bool is_archive = seen && !seen->is_folder;
    const auto label = memories_.LabelOf(slot, source_path_);
    if (is_archive) {
      util::LogError("{}: is no longer served: {}", label, reason);
    } else {  // without it there is nothing to serve below it
      util::LogError("{}: {}; it is still served, since it is a folder", label, reason);
    }
    told_[slot] = is_archive ? std::optional(seen->identity) : std::nullopt;
  }
}

bool Quarantine::SendTo(const handover::Channel& worker, Clock::time_point until) const {
  for (const auto& [slot, identity] : told_) {
    if (!identity) continue;
    const auto text =
        fmt::format("{} {} {} {} {} {}", identity->device, identity->inode, identity->size,
                    identity->mtime, identity->ctime, crashes_.quarantined().at(slot));
    const bool is_sent =
        Clock::now() < until && worker.Send(handover::Tell::kQuarantine, 0, 0, -1, text);
    if (!is_sent) return false;
  }
  return true;
}

}  // namespace skopsfs::supervisor
