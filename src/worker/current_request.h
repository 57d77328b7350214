#pragma once

#include <cstdint>

#include "handover/counters.h"
#include "handover/session_state.h"

namespace skopsfs::worker {

// Writes to `record` what request a thread is at; one with the number 0 stands for none.
void Write(handover::RequestRecord& record, const handover::RequestSeen& request);

// From now on the calling thread keeps `record`, and counts its requests in `counters`; nullptr for
// neither. A crash is noted from now on even when the thread's stack has overflowed.
void KeepRecord(handover::RequestRecord* record, handover::Counters* counters = nullptr);

// Counts that the request of the calling thread is answered with this error.
void CountFailure(int error) noexcept;

// The request that the calling thread is at for as long as this lives. It stands in the thread's
// record, which is marked with the signal if the thread crashes. At the end the request is counted
// with the time that it took, unless it was handed on. For the thread that made it.
class CurrentRequest {
 public:
  explicit CurrentRequest(const handover::RequestSeen& request);
  ~CurrentRequest();
  CurrentRequest(const CurrentRequest&) = delete;
  CurrentRequest& operator=(const CurrentRequest&) = delete;

  // The request of the calling thread. Another thread goes on with it, or this one later.
  static handover::RequestSeen HandOn();

 private:
  const int64_t asked_;
};

// From now on a thread that crashes marks its record first. Then it crashes as it would have.
void MarkCrashes();

}  // namespace skopsfs::worker
