#include "util/log_rate_limiter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace skopsfs::util {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class LogRateLimiterTest : public ::testing::Test {
 protected:
  void Take(const std::string& line) { limiter_.Take(LogLevel::kInfo, line, now_); }

  LogRateLimiter::Clock::time_point now_{std::chrono::hours(1)};
  std::vector<std::string> written_;
  std::vector<LogLevel> levels_;
  LogRateLimiter limiter_{3, [this](LogLevel level, const std::string& line) {
                            levels_.push_back(level);
                            written_.push_back(line);
                          }};
};

TEST_F(LogRateLimiterTest, SameLineFiveTimesAPeriod) {
  for (int i = 0; i < 12; ++i) Take("same");
  EXPECT_THAT(written_, ElementsAre("same", "same", "same", "same", "same"));
}

TEST_F(LogRateLimiterTest, DifferentLinesHaveABoundTogetherAndOnlyTheNewAreLeftOut) {
  for (const auto* line : {"a", "b", "c", "d", "e", "a"}) Take(line);
  EXPECT_THAT(written_,
              ElementsAre("a", "b", "c", "too many different lines; leaving some out", "a"));
}

TEST_F(LogRateLimiterTest, NothingIsSaidBeforeThePeriodIsOver) {
  for (int i = 0; i < 6; ++i) Take("same");
  written_.clear();
  now_ += LogRateLimiter::kPeriod - std::chrono::nanoseconds(1);
  limiter_.EndPeriod(now_);
  EXPECT_THAT(written_, IsEmpty());
}

TEST_F(LogRateLimiterTest, WhatWasLeftOutIsSaidWhenThePeriodIsOver) {
  limiter_.Take(LogLevel::kError, "same", now_);
  for (int i = 0; i < 11; ++i) limiter_.Take(LogLevel::kError, "same", now_);
  for (int i = 0; i < 9; ++i) Take("line " + std::to_string(i));
  written_.clear();
  levels_.clear();
  now_ += LogRateLimiter::kPeriod;
  limiter_.EndPeriod(now_);
  EXPECT_THAT(written_,
              ElementsAre("same (and 7 more times)", "too many different lines; 7 left out"));
  EXPECT_THAT(levels_, ElementsAre(LogLevel::kError, LogLevel::kWarning));
  limiter_.EndPeriod(now_ + LogRateLimiter::kPeriod);
  EXPECT_THAT(written_, SizeIs(2)) << "once";
}

TEST_F(LogRateLimiterTest, LineOfTheNextPeriodHasItSaidToo) {
  for (int i = 0; i < 6; ++i) Take("same");
  written_.clear();
  now_ += LogRateLimiter::kPeriod;
  Take("same");
  EXPECT_THAT(written_, ElementsAre("same (and 1 more times)", "same"));
}

TEST_F(LogRateLimiterTest, PeriodBeginsWithItsFirstLine) {
  Take("a");
  now_ += LogRateLimiter::kPeriod * 10;
  for (int i = 0; i < 6; ++i) Take("b");
  now_ += LogRateLimiter::kPeriod / 2;
  Take("b");
  EXPECT_THAT(written_, SizeIs(1 + LogRateLimiter::kMostOfOne));
}

}  // namespace
}  // namespace skopsfs::util
