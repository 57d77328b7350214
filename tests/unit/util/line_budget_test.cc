#include "util/line_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace skopsfs::util {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class LineBudgetTest : public ::testing::Test {
 protected:
  void Take(const std::string& line) { budget_.Take(LogLevel::kInfo, line, now_); }

  LineBudget::Clock::time_point now_{std::chrono::hours(1)};
  std::vector<std::string> written_;
  std::vector<LogLevel> levels_;
  LineBudget budget_{3, [this](LogLevel level, const std::string& line) {
                       levels_.push_back(level);
                       written_.push_back(line);
                     }};
};

TEST_F(LineBudgetTest, SameLineFiveTimesAPeriod) {
  for (int i = 0; i < 12; ++i) Take("same");
  EXPECT_THAT(written_, ElementsAre("same", "same", "same", "same", "same"));
}

TEST_F(LineBudgetTest, DifferentLinesHaveABoundTogetherAndOnlyTheNewAreLeftOut) {
  for (const auto* line : {"a", "b", "c", "d", "e", "a"}) Take(line);
  EXPECT_THAT(written_,
              ElementsAre("a", "b", "c", "too many different lines; leaving some out", "a"));
}

TEST_F(LineBudgetTest, NothingIsSaidBeforeThePeriodIsOver) {
  for (int i = 0; i < 6; ++i) Take("same");
  written_.clear();
  now_ += LineBudget::kPeriod - std::chrono::nanoseconds(1);
  budget_.EndPeriod(now_);
  EXPECT_THAT(written_, IsEmpty());
}

TEST_F(LineBudgetTest, WhatWasLeftOutIsSaidWhenThePeriodIsOver) {
  budget_.Take(LogLevel::kError, "same", now_);
  for (int i = 0; i < 11; ++i) budget_.Take(LogLevel::kError, "same", now_);
  for (int i = 0; i < 9; ++i) Take("line " + std::to_string(i));
  written_.clear();
  levels_.clear();
  now_ += LineBudget::kPeriod;
  budget_.EndPeriod(now_);
  EXPECT_THAT(written_,
              ElementsAre("same (and 7 more times)", "too many different lines; 7 left out"));
  EXPECT_THAT(levels_, ElementsAre(LogLevel::kError, LogLevel::kWarning));
  budget_.EndPeriod(now_ + LineBudget::kPeriod);
  EXPECT_THAT(written_, SizeIs(2)) << "once";
}

TEST_F(LineBudgetTest, LineOfTheNextPeriodHasItSaidToo) {
  for (int i = 0; i < 6; ++i) Take("same");
  written_.clear();
  now_ += LineBudget::kPeriod;
  Take("same");
  EXPECT_THAT(written_, ElementsAre("same (and 1 more times)", "same"));
}

TEST_F(LineBudgetTest, PeriodBeginsWithItsFirstLine) {
  Take("a");
  now_ += LineBudget::kPeriod * 10;
  for (int i = 0; i < 6; ++i) Take("b");
  now_ += LineBudget::kPeriod / 2;
  Take("b");
  EXPECT_THAT(written_, SizeIs(1 + LineBudget::kMostOfOne));
}

}  // namespace
}  // namespace skopsfs::util
