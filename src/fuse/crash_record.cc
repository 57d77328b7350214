#include "fuse/crash_record.h"

#include <fmt/format.h>

#include <cstring>

#include "fs/node_id.h"

namespace skopsfs::fuse {

namespace {

std::string ReasonOf(uint32_t signal, size_t times) {
  if (signal == kTimedOut) return fmt::format("requests for it did not end, {} times", times);
  const char* const name = sigdescr_np(static_cast<int>(signal));
  return fmt::format("it made the server crash {} times ({})", times,
                     name != nullptr ? name : "unknown signal");
}

}  // namespace

bool CrashRecord::Blame(uint64_t slot, const std::string& reason) {
  return quarantined_.try_emplace(slot, reason).second;
}

std::vector<uint64_t> CrashRecord::WorkerDied(const std::vector<RequestSeen>& requests,
                                              Clock::time_point now) {
  std::vector<uint64_t> blamed;
  std::map<uint64_t, int> deaths;
  for (const auto& request : requests) {
    const uint64_t slot = fs::NodeId::From(request.node).slot;
    const uint64_t unique = request.unique & ~kAskedAgain;
    if (request.crashed != 0) {
      auto& times = faults_[slot];
      times.push_back(now);
      while (now - times.front() > kPeriod) times.pop_front();
      if (times.size() < kMostFaults) continue;
      if (Blame(slot, ReasonOf(request.crashed, times.size()))) blamed.push_back(slot);
      faults_.erase(slot);
      continue;
    }
    const auto before = deaths_.find(unique);
    const int count = before == deaths_.end() ? 1 : before->second + 1;
    deaths[unique] = count;
    if (count >= kMostDeaths &&
        Blame(slot, fmt::format("the server died {} times at one request for it", count))) {
      blamed.push_back(slot);
    }
  }
  deaths_ = std::move(deaths);
  std::erase_if(faults_, [&](const auto& item) { return now - item.second.back() > kPeriod; });
  return blamed;
}

}  // namespace skopsfs::fuse
