#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>

#include "fuse/session_state.h"

namespace skopsfs::fuse {

// Keeps requests that may take long from occupying all threads. It has no threads of its own: a
// thread that brings a job works in the lane until nothing is left to do there, unless as many as
// the lane takes are in it already; then the job is put off for them, and the thread is free again.
// Of each member one job runs at a time, because they would only wait for each other, and members
// take turns. Thread-safe.
class SlowLane {
 public:
  using Job = std::function<void()>;  // must not throw

  explicit SlowLane(size_t most_threads) : most_(most_threads) {}

  // `record` says from now on which of the jobs that wait came first. To be called before all else.
  void KeepRecord(RequestRecord& record) { record_ = &record; }

  // Runs `job`, which reads the member `node` for `request`, now or later, and others that were put
  // off. Throws std::bad_alloc, and then has not taken the job.
  void Run(uint64_t node, const RequestSeen& request, Job job);

 private:
  // The requests that wait, by when they came.
  using Queue = std::multimap<int64_t, RequestSeen>;
  struct Waiting {
    Job job;
    Queue::iterator at;
  };
  // A member with jobs, of which the first may be running. Lists, since moving a part of one to
  // another cannot fail.
  struct Member {
    uint64_t node;
    std::list<Waiting> jobs;
  };
  using Members = std::list<Member>;

  static bool Append(Members& members, Member& arrived);
  void ShowOldest();

  const size_t most_;
  RequestRecord* record_ = nullptr;
  std::mutex mutex_;
  size_t threads_ = 0;  // in the lane
  Members waiting_;     // in the order of their turns
  Members running_;
  Queue queue_;
};

}  // namespace skopsfs::fuse
