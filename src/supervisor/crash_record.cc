#include "supervisor/crash_record.h"

#include <fmt/format.h>

#include <cstring>
#include <set>

#include "handover/node_id.h"

namespace skopsfs::supervisor {

namespace {

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

}  // namespace skopsfs::supervisor
