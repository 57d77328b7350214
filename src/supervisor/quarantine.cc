#include "supervisor/quarantine.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "handover/node_id.h"
#include "util/log.h"

namespace skopsfs::supervisor {
namespace {

using handover::NodeId;

const char* NameOf(uint32_t signal) {
  const char* const name = sigdescr_np(static_cast<int>(signal));
  return name != nullptr ? name : "unknown signal";
}

// For what is not its archive's: then it is no reason that the worker died.
bool WaitedLong(const handover::RequestSeen& request, CrashRecord::Clock::time_point now) {
  constexpr auto kAtOnce = std::chrono::seconds(1);
  const CrashRecord::Clock::time_point got_on{std::chrono::nanoseconds(request.got_on)};
  // A worker may have said any time at all.
  return request.waits_for != util::WaitsFor::kNothing && got_on < now - kAtOnce;
}

}  // namespace

void CrashRecord::Blame(uint64_t slot, const std::string& reason) {
  if (quarantined_.size() < kMostQuarantined) quarantined_.try_emplace(slot, reason);
}

// A fault at `slot`, whatever the number of its requests.
void CrashRecord::BlameFor(const std::map<uint64_t, uint32_t>& faults, uint64_t slot,
                           Clock::time_point now) {
  auto& times = faults_[slot];
  times.push_back(now);
  while (now - times.front() > kPeriod) times.pop_front();
  if (times.size() < kMostFaults) return;
  Blame(slot, fmt::format("it made the server crash {} times ({})", times.size(),
                          NameOf(faults.at(slot))));
  faults_.erase(slot);
}

void CrashRecord::WorkerDied(const std::vector<handover::RequestSeen>& requests,
                             Clock::time_point now) {
  std::map<uint64_t, uint32_t> faults;  // signal, by slot
  std::set<uint64_t> timed_out;         // slots
  for (const auto& request : requests) {
    if (request.is_queued) continue;
    const uint64_t slot = handover::NodeId::From(request.node).slot;
    if (request.crashed == handover::kTimedOut) {
      timed_out.insert(slot);
    } else if (request.crashed != 0) {
      faults[slot] = request.crashed;
    }
  }
  for (const auto& [slot, signal] : faults) BlameFor(faults, slot, now);
  std::map<uint64_t, Deaths> deaths;
  for (const auto& request : requests) {
    if (request.is_queued) continue;
    const uint64_t slot = handover::NodeId::From(request.node).slot;
    const uint64_t unique = request.unique & ~handover::kAskedAgain;
    const auto before = deaths_.find(unique);
    Deaths count = before == deaths_.end() ? Deaths{} : before->second;
    if (request.crashed == 0 && !WaitedLong(request, now)) ++count.unexplained;
    if (request.crashed == handover::kTimedOut)
      count.timed_out = timed_out.size() == 1 ? count.timed_out + 1 : 0;
    deaths[unique] = count;
    const bool hangs = count.timed_out >= kMostTimeouts;
    if (!hangs && count.unexplained < kMostDeaths) continue;
    const auto reason =
        hangs
            ? fmt::format("requests for it did not end, {} times", count.timed_out)
            : fmt::format("the server died {} times during one request for it", count.unexplained);
    Blame(slot, reason);
  }
  deaths_ = std::move(deaths);
  std::erase_if(faults_, [&](const auto& item) { return now - item.second.back() > kPeriod; });
}

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

void Quarantine::SaveTo(handover::SupervisorState& state) const {
  for (const auto& [slot, identity] : told_) {
    state.quarantined.push_back({.slot = slot,
                                 .identity = identity.value_or(handover::Identity()),
                                 .reason = crashes_.quarantined().at(slot)});
  }
}

void Quarantine::Restore(const handover::SupervisorState& state) {
  for (const auto& [slot, identity, reason] : state.quarantined) {
    crashes_.Blame(slot, reason);
    if (!crashes_.quarantined().contains(slot)) continue;  // there are too many
    const bool is_folder = identity == handover::Identity();
    told_[slot] = is_folder ? std::nullopt : std::optional(identity);
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
