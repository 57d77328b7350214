#include "worker/slow_lane.h"

#include <algorithm>
#include <utility>

#include "worker/current_request.h"

namespace skopsfs::worker {
namespace {

thread_local bool is_inside = false;  // the calling thread is in a lane

}  // namespace

// Adds the jobs of a group to those it has in `groups`; false when it has none there.
bool SlowLane::Append(Groups& groups, Group& arrived) {
  const auto known = std::find_if(groups.begin(), groups.end(), [&](const Group& group) {
    return group.number == arrived.number;
  });
  if (known == groups.end()) return false;
  known->jobs.splice(known->jobs.end(), arrived.jobs);
  return true;
}

// The kind of which a job can be run, and of which the fewest are; nullptr when there is none.
SlowLane::Kind* SlowLane::Next() {
  Kind* next = nullptr;
  for (auto& kind : kinds_) {
    if (kind.waiting.empty() || kind.running.size() >= most_of_a_kind_) continue;
    if (next == nullptr || kind.running.size() < next->running.size()) next = &kind;
  }
  return next;
}

void SlowLane::ShowOldest() {
  if (record_ == nullptr) return;
  const handover::RequestSeen oldest =
      queue_.empty() ? handover::RequestSeen{} : queue_.begin()->second;
  if (record_->unique != oldest.unique) Write(*record_, oldest);
}

void SlowLane::RunNext(Kind& kind) {
  const auto group = kind.waiting.begin();
  kind.running.splice(kind.running.end(), kind.waiting, group);
  const auto& next = group->jobs.front();
  const handover::RequestSeen request = next.at->second;
  queue_.erase(next.at);
  ShowOldest();
  mutex_.unlock();  // nothing throws until it is held again
  {
    const CurrentRequest at(request);
    next.job();
  }
  mutex_.lock();
  group->jobs.pop_front();
  if (group->jobs.empty()) {
    kind.running.erase(group);
  } else {
    kind.waiting.splice(kind.waiting.end(), kind.running, group);
  }
}

void SlowLane::Run(const util::TooMuchEffort& what, const handover::RequestSeen& request, Job job) {
  Groups arrived;
  arrived.push_back({what.of, {}});
  arrived.front().jobs.push_back({std::move(job), {}});

  const util::MutexLock lock(mutex_);
  arrived.front().jobs.front().at = queue_.emplace(request.asked, request);
  auto& [waiting, running] = kinds_[what.effort == util::Effort::kOpen ? 0 : 1];
  if (!Append(running, arrived.front()) && !Append(waiting, arrived.front())) {
    waiting.splice(waiting.end(), arrived);
  }
  if (is_inside || threads_ == most_) return ShowOldest();
  is_inside = true;
  ++threads_;
  while (Kind* next = Next()) RunNext(*next);
  ShowOldest();
  --threads_;
  is_inside = false;
}

}  // namespace skopsfs::worker
