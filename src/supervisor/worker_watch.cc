#include "supervisor/worker_watch.h"

#include <algorithm>

#include "handover/node_id.h"
#include "util/log.h"

namespace skopsfs::supervisor {
namespace {

constexpr std::chrono::nanoseconds kLong = std::chrono::seconds(30);  // for requests to wait
constexpr auto kLook = std::chrono::milliseconds(5000);
constexpr auto kShortestLook = std::chrono::milliseconds(10);

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

void WorkerWatch::Begin() {
  stall_.Reset();
  requests_.Reset();
  LookSoon();
}

bool WorkerWatch::Look(const WorkerProcess& worker, bool requests_wait) {
  due_.reset();
  TellOfSlowRequests();
  if (!requests_.stuck().empty() || TakesNone(worker, requests_wait)) return true;
  const auto pause = timeout_.count() > 0 ? std::min(kLook, timeout_ / 2 + kShortestLook) : kLook;
  due_ = Clock::now() + pause;
  return false;
}

void WorkerWatch::TellOfSlowRequests() {
  using Because = RequestWatch::Because;
  for (const auto& [request, age, because] : requests_.Look(memories_.ReadRequests())) {
    const auto slot = handover::NodeId::From(request.node).slot;
    util::LogWarning("request {} of {} takes {} s{}", handover::NameOfOperation(request.operation),
                     memories_.LabelOf(slot, source_path_), age.count(),
                     because == Because::kItIsStuck
                         ? "; it makes no progress, so the worker is killed"
                     : because == Because::kTheSource ? "; the source does not answer"
                                                      : "");
  }
}

bool WorkerWatch::TakesNone(const WorkerProcess& worker, bool requests_wait) {
  const auto stalled = stall_.Look(requests_wait, memories_.RequestsBegun());
  if (SourceHangs(worker)) return false;  // which has been told
  const bool too_long = timeout_.count() > 0 && stalled > timeout_;
  if (stalled >= kLong || too_long) {
    util::LogWarning("requests wait, and the worker takes none{}",
                     too_long ? ", so it is killed" : "");
  }
  return too_long;
}

bool WorkerWatch::SourceHangs(const WorkerProcess& worker) const {
  return requests_.source_hangs() && !worker.IsStopped();
}

std::vector<handover::RequestSeen> WorkerWatch::TakeStuck() {
  auto stuck = requests_.stuck();
  requests_.Reset();
  return stuck;
}

}  // namespace skopsfs::supervisor
