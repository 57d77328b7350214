#include "supervisor/restart_policy.h"

#include <algorithm>

namespace skopsfs::supervisor {
namespace {

constexpr auto kServedWell = std::chrono::milliseconds(100);
constexpr auto kShortest = std::chrono::milliseconds(10);
constexpr auto kLongest = std::chrono::milliseconds(1000);
constexpr int kMostFailedStarts = 10;  // in a row

}  // namespace

bool RestartPolicy::WorkerCrashed(std::optional<Clock::duration> served) {
  short_lives_ = served && *served > kServedWell ? 0 : short_lives_ + 1;
  failed_starts_ = served ? 0 : failed_starts_ + 1;
  return failed_starts_ < kMostFailedStarts;
}

bool RestartPolicy::StartFailed() {
  ++short_lives_;
  return ++failed_starts_ < kMostFailedStarts;
}

RestartPolicy::Clock::duration RestartPolicy::Delay() const {
  if (short_lives_ == 0) return {};
  return std::min<Clock::duration>(kLongest, kShortest * (1 << std::min(short_lives_, 10)));
}

}  // namespace skopsfs::supervisor
