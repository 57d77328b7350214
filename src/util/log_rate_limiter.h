#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>

namespace skopsfs::util {

enum class LogLevel { kError, kWarning, kInfo };

// Bounds how many lines a log takes. Names in them come from strangers, who have many. In a period
// of a minute, it writes the same line at most five times, and at most so many different lines.
// When the period is over, it writes how many were left out. Not thread-safe.
class LogRateLimiter {
 public:
  using Clock = std::chrono::steady_clock;
  using Write = std::function<void(LogLevel, const std::string&)>;

  static constexpr auto kPeriod = std::chrono::minutes(1);
  static constexpr int kMostOfOne = 5;

  LogRateLimiter(size_t most_different, Write write)
      : most_different_(most_different), write_(std::move(write)) {}

  // Writes the line if there is room for it. `now` never goes back.
  void Take(LogLevel level, const std::string& line, Clock::time_point now);

  // Ends the period if it is over. To be called now and then, or what was left out is written with
  // the next line only.
  void EndPeriod(Clock::time_point now);

 private:
  struct Line {
    LogLevel level{};
    uint64_t times = 0;
  };

  const size_t most_different_;
  const Write write_;
  Clock::time_point since_;
  std::unordered_map<std::string, Line> lines_;  // of this period
  uint64_t unknown_ = 0;                         // for which there was no room in `lines_`
};

}  // namespace skopsfs::util
