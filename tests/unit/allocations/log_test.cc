// The log when memory ends: it is needed most then, and is written to from where nothing may throw.

#include "util/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>

#include "support/failing_allocations.h"

namespace skopsfs::util {
namespace {

using testing::AllocationControl;

class LogAllocationsTest : public ::testing::Test {
 protected:
  LogAllocationsTest() {
    SetLogSink([this](LogLevel, const std::string& line) {
      line.copy(last_.data(), last_.size() - 1);
      last_.at(std::min(line.size(), last_.size() - 1)) = 0;
      ++lines_;
      return true;
    });
  }
  ~LogAllocationsTest() override { SetLogSink(nullptr); }

  std::array<char, 4000> last_{};
  int lines_ = 0;
};

TEST_F(LogAllocationsTest, LinesForWhichThereIsNoMemoryAreWritten) {
  const std::string name(300, 'n');
  {
    const testing::FailingAllocations failing(AllocationControl::kAllFrom, 0);
    LogError("{}: out of memory, {} times", name, 7);
  }
  EXPECT_GT(testing::Allocations().failed, 0);
  EXPECT_EQ(std::string(last_.data()), name + ": out of memory, 7 times");
  EXPECT_EQ(lines_, 1);
}

TEST_F(LogAllocationsTest, ThereIsABoundToThemAndTheRestIsCounted) {
  {
    const testing::FailingAllocations failing(AllocationControl::kAllFrom, 0);
    for (int i = 0; i < 1000; ++i) LogError("a line that is longer than a short string, {}", i);
    TellLeftOutLines();
  }
  EXPECT_LE(lines_, 20);
  lines_ = 0;
  TellLeftOutLines();
  EXPECT_EQ(lines_, 1);
  EXPECT_THAT(std::string(last_.data()), ::testing::StartsWith("out of memory for the log; 98"));
}

TEST_F(LogAllocationsTest, EachAllocationFailsInTurn) {
  for (uint64_t number = 0;; ++number) {
    lines_ = 0;
    {
      const testing::FailingAllocations failing(AllocationControl::kOne, number);
      LogWarning("a line that is longer than a short string, {}", number);
    }
    if (testing::Allocations().failed == 0) break;
    EXPECT_EQ(lines_, 1) << number;
  }
}

}  // namespace
}  // namespace skopsfs::util
