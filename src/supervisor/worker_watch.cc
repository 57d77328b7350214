#include "supervisor/worker_watch.h"

#include <algorithm>

#include "handover/node_id.h"
#include "util/log.h"

namespace skopsfs::supervisor {
namespace {

constexpr auto kLongStall = std::chrono::seconds(30);  // for requests to wait
constexpr auto kLook = std::chrono::milliseconds(5000);
constexpr auto kShortestLook = std::chrono::milliseconds(10);

}  // namespace

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
  if (stalled >= kLongStall || too_long) {
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
