#include "util/log_rate_limiter.h"

#include <fmt/format.h>

namespace skopsfs::util {

void LogRateLimiter::Take(LogLevel level, const std::string& line, Clock::time_point now) {
  EndPeriod(now);
  if (lines_.empty()) since_ = now;
  const bool has_room = lines_.size() < most_different_;
  const auto known = has_room ? lines_.try_emplace(line).first : lines_.find(line);
  if (known == lines_.end()) {
    // Said at once, too: nobody is to take what was written for all there was.
    if (unknown_++ == 0) write_(LogLevel::kWarning, "too many different lines; leaving some out");
    return;
  }
  known->second.level = level;
  if (++known->second.times <= kMostOfOne) write_(level, line);
}

void LogRateLimiter::EndPeriod(Clock::time_point now) {
  if (lines_.empty() || now - since_ < kPeriod) return;
  for (const auto& [text, line] : lines_) {
    if (line.times <= kMostOfOne) continue;
    write_(line.level, fmt::format("{} (and {} more times)", text, line.times - kMostOfOne));
  }
  if (unknown_ > 0) {
    write_(LogLevel::kWarning, fmt::format("too many different lines; {} left out", unknown_));
  }
  lines_.clear();
  unknown_ = 0;
}

}  // namespace skopsfs::util
