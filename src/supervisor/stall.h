#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace skopsfs::supervisor {

// For how long requests have waited while the worker took none: it is stopped, or each of its
// threads is at something that does not end. Not thread-safe.
class Stall {
 public:
  using Clock = std::chrono::steady_clock;

  // As of this look. `begun`: how many requests workers have taken so far.
  Clock::duration Look(bool requests_wait, uint64_t begun, Clock::time_point now = Clock::now()) {
    if (!requests_wait || begun != begun_) {
      begun_ = begun;
      since_.reset();
      return {};
    }
    if (!since_) since_ = now;
    return now - *since_;
  }

  bool has_begun() const { return since_.has_value(); }
  void Reset() { since_.reset(); }

 private:
  uint64_t begun_ = 0;  // at the last look
  std::optional<Clock::time_point> since_;
};

}  // namespace skopsfs::supervisor
