#pragma once

#include <cstdint>

#include "handover/counters.h"
#include "handover/session_state.h"

namespace skopsfs::worker {

// Says in `record` that a request waits, or with the number 0 that none does.
void Write(handover::RequestRecord& record, const handover::RequestSeen& request);

// The record that the calling thread keeps from now on, and what its requests are counted in;
// nullptr for none. Where its stack overflows, that is noted, too, from now on.
void KeepRecord(handover::RequestRecord* record, handover::Counters* counters = nullptr);

// What the calling thread is at is answered with this error.
void CountFailure(int error) noexcept;

// Says what the calling thread is at for as long as it lives, then that it is at nothing. When the
// thread crashes meanwhile, the request is marked with the signal. Then the request is counted with
// the time that it took, unless it was handed on.
class CurrentRequest {
 public:
  explicit CurrentRequest(const handover::RequestSeen& request);
  ~CurrentRequest();
  CurrentRequest(const CurrentRequest&) = delete;
  CurrentRequest& operator=(const CurrentRequest&) = delete;

  // What the calling thread is at, and another one will go on with, or this one later.
  static handover::RequestSeen HandOn();

 private:
  const int64_t asked_;
};

// From now on a thread that crashes says so in its request, and then crashes as it would have.
void MarkCrashes();

}  // namespace skopsfs::worker
