#include "fuse/slow_lane.h"

#include <algorithm>
#include <utility>

namespace skopsfs::fuse {

// Adds the jobs of a member to those it has in `members`; false when it has none there.
bool SlowLane::Append(Members& members, Member& arrived) {
  const auto known = std::find_if(members.begin(), members.end(), [&](const Member& member) {
    return member.node == arrived.node;
  });
  if (known == members.end()) return false;
  known->jobs.splice(known->jobs.end(), arrived.jobs);
  return true;
}

void SlowLane::ShowOldest() {
  if (record_ == nullptr) return;
  const RequestSeen oldest = queue_.empty() ? RequestSeen{} : queue_.begin()->second;
  if (record_->unique != oldest.unique) Write(*record_, oldest);
}

void SlowLane::Run(uint64_t node, const RequestSeen& request, Job job) {
  Members arrived;
  arrived.push_back({node, {}});
  arrived.front().jobs.push_back({std::move(job), {}});

  std::unique_lock lock(mutex_);
  arrived.front().jobs.front().at = queue_.emplace(request.asked, request);
  if (!Append(running_, arrived.front()) && !Append(waiting_, arrived.front())) {
    waiting_.splice(waiting_.end(), arrived);
  }
  if (threads_ == most_) return ShowOldest();
  ++threads_;
  while (!waiting_.empty()) {
    const auto member = waiting_.begin();
    running_.splice(running_.end(), waiting_, member);
    auto& next = member->jobs.front();
    const RequestSeen at = next.at->second;
    queue_.erase(next.at);
    ShowOldest();
    lock.unlock();
    {
      const AtRequest request_of_it(at);
      next.job();
    }
    lock.lock();
    member->jobs.pop_front();
    if (member->jobs.empty()) {
      running_.erase(member);
    } else {
      waiting_.splice(waiting_.end(), running_, member);
    }
  }
  --threads_;
}

}  // namespace skopsfs::fuse
