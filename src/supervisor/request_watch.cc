#include "supervisor/request_watch.h"

#include <algorithm>
#include <utility>

namespace skopsfs::supervisor {
namespace {

constexpr std::chrono::nanoseconds kLong = std::chrono::seconds(30);

std::chrono::nanoseconds Since(int64_t time, int64_t now) {
  return std::chrono::nanoseconds(now - std::clamp<int64_t>(time, 0, now));
}

}  // namespace

RequestWatch::Because RequestWatch::JudgeOne(const handover::RequestSeen& request,
                                             int64_t now) const {
  const auto patience = timeout_.count() > 0 ? timeout_ : kLong;
  const auto idle = Since(std::max(request.since, request.got_on), now);
  if (request.is_queued || request.waits_for == util::WaitsFor::kOthers) return Because::kOthers;
  if (idle <= patience) return Because::kItGoesOn;
  return request.waits_for == util::WaitsFor::kSource ? Because::kTheSource : Because::kItIsStuck;
}

std::vector<RequestWatch::Slow> RequestWatch::Look(
    const std::vector<handover::RequestSeen>& requests, Clock::time_point time) {
  const int64_t now = std::chrono::nanoseconds(time.time_since_epoch()).count();
  const bool replaces = timeout_.count() > 0;
  stuck_.clear();
  source_hangs_ = false;
  for (const auto& request : requests) {
    const auto because = JudgeOne(request, now);
    if (because == Because::kTheSource) source_hangs_ = true;
    if (because == Because::kItIsStuck && replaces) stuck_.push_back(request);
  }
  // It may wait for the source itself, or for a thread that does, without a word of that.
  if (source_hangs_) stuck_.clear();

  std::vector<Slow> slow;
  std::set<uint64_t> still;
  for (const auto& request : requests) {
    auto because = JudgeOne(request, now);
    if (because == Because::kItIsStuck && stuck_.empty()) because = Because::kOthers;
    const bool is_stuck = because == Because::kItIsStuck;
    if (Since(request.asked, now) < kLong && !is_stuck && because != Because::kTheSource) continue;
    const bool is_told = told_.contains(request.unique) && !is_stuck;
    if (!is_told && slow.size() == kMostTold) continue;
    still.insert(request.unique);
    if (is_told) continue;
    slow.push_back(
        {.request = request,
         .age = std::chrono::duration_cast<std::chrono::seconds>(Since(request.asked, now)),
         .because = because});
  }
  told_ = std::move(still);
  return slow;
}

void RequestWatch::Reset() {
  stuck_.clear();
  source_hangs_ = false;
}

}  // namespace skopsfs::supervisor
