#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>

#include "handover/session_state.h"
#include "util/effort.h"
#include "util/mutex.h"

namespace skopsfs::worker {

// Keeps requests that may take long from occupying all threads. It owns no threads: one that brings
// a job works in the lane until nothing is left to do there. If the lane is full, the job is put
// off for the threads in it, and the one that brought it is free again. There are two kinds of
// jobs, those that open and those that take longer, and neither takes all threads. Jobs that would
// only wait for each other form a group. Of a group one job runs at a time, and groups take turns.
// Thread-safe.
class SlowLane {
 public:
  using Job = std::function<void()>;  // must not throw

  SlowLane(size_t most_threads, size_t most_of_a_kind)
      : most_(most_threads), most_of_a_kind_(most_of_a_kind) {}

  // From now on `record` says which of the waiting jobs came first. To be called before all else.
  void KeepRecord(handover::RequestRecord& record) { record_ = &record; }

  // Runs `job` now or later, and others that were put off. It makes the effort `what` for
  // `request`. A job may call this, too, which then only puts off. Throws std::bad_alloc, and then
  // has not taken the job.
  void Run(const util::TooMuchEffort& what, const handover::RequestSeen& request, Job job);

 private:
  // The requests that wait, by when they came.
  using Queue = std::multimap<int64_t, handover::RequestSeen>;
  struct Waiting {
    Job job;
    Queue::iterator at;
  };
  // Jobs that are run one at a time, of which the first may be running. Lists, since moving a part
  // of one to another cannot fail.
  struct Group {
    uint64_t number;
    std::list<Waiting> jobs;
  };
  using Groups = std::list<Group>;
  struct Kind {
    Groups waiting;  // in the order of their turns
    Groups running;
  };

  static bool Append(Groups& groups, Group& arrived);
  Kind* Next() REQUIRES(mutex_);
  void RunNext(Kind& kind) REQUIRES(mutex_);
  void ShowOldest() REQUIRES(mutex_);

  const size_t most_;
  const size_t most_of_a_kind_;
  handover::RequestRecord* record_ = nullptr;
  util::Mutex mutex_;                      // taken alone
  size_t threads_ GUARDED_BY(mutex_) = 0;  // in the lane
  std::array<Kind, 2> kinds_ GUARDED_BY(mutex_);
  Queue queue_ GUARDED_BY(mutex_);
};

}  // namespace skopsfs::worker
