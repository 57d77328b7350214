#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

namespace skopsfs::supervisor {

// Says when the next worker is to be started, and when no more: at once after one that served well,
// later and later after those that did not, and never after ten in a row that did not serve at all.
// Not thread-safe.
class RestartPolicy {
 public:
  using Clock = std::chrono::steady_clock;

  // A worker has crashed that had served for so long, if it served at all. False: no other one is
  // to be started.
  bool WorkerCrashed(std::optional<Clock::duration> served) {
    short_lives_ = served && *served > kServedWell ? 0 : short_lives_ + 1;
    failed_starts_ = served ? 0 : failed_starts_ + 1;
    return failed_starts_ < kMostFailedStarts;
  }

  // A worker could not even be started. False likewise.
  bool StartFailed() {
    ++short_lives_;
    return ++failed_starts_ < kMostFailedStarts;
  }

  // Another worker is needed. Until it is due, it is not to be started.
  void Schedule(Clock::time_point now = Clock::now()) { due_ = now + Delay(); }
  void ScheduleAtOnce(Clock::time_point now = Clock::now()) { due_ = now; }

  // When to start one; nothing when none is needed.
  std::optional<Clock::time_point> due() const { return due_; }
  // It is being started.
  void Begun() { due_.reset(); }

 private:
  static constexpr auto kServedWell = std::chrono::milliseconds(100);
  static constexpr auto kShortest = std::chrono::milliseconds(10);
  static constexpr auto kLongest = std::chrono::milliseconds(1000);
  static constexpr int kMostFailedStarts = 10;  // in a row

  Clock::duration Delay() const {
    if (short_lives_ == 0) return {};
    return std::min<Clock::duration>(kLongest, kShortest * (1 << std::min(short_lives_, 10)));
  }

  int short_lives_ = 0;    // workers that did not serve for long, one after the other
  int failed_starts_ = 0;  // workers that never served, likewise
  std::optional<Clock::time_point> due_;
};

}  // namespace skopsfs::supervisor
