#include "supervisor/restart_policy.h"

#include <gtest/gtest.h>

#include <optional>

namespace skopsfs::supervisor {
namespace {

using namespace std::chrono_literals;
using Clock = RestartPolicy::Clock;

class RestartPolicyTest : public ::testing::Test {
 protected:
  Clock::duration Delay() {
    policy_.Schedule(kNow);
    return *policy_.due() - kNow;
  }

  static constexpr Clock::time_point kNow{1000s};
  RestartPolicy policy_;
};

TEST_F(RestartPolicyTest, NoneIsNeededAtFirst) {
  EXPECT_EQ(policy_.due(), std::nullopt);
  policy_.ScheduleAtOnce(kNow);
  EXPECT_EQ(policy_.due(), kNow);
  policy_.Begun();
  EXPECT_EQ(policy_.due(), std::nullopt);
}

TEST_F(RestartPolicyTest, LaterEachTimeAfterShortLives) {
  EXPECT_EQ(Delay(), 0ms);
  for (const auto delay : {20ms, 40ms, 80ms, 160ms, 320ms, 640ms, 1000ms, 1000ms, 1000ms, 1000ms}) {
    EXPECT_TRUE(policy_.WorkerCrashed(100ms));
    EXPECT_EQ(Delay(), delay);
  }
  EXPECT_TRUE(policy_.WorkerCrashed(101ms));
  EXPECT_EQ(Delay(), 0ms);
}

TEST_F(RestartPolicyTest, NoneAfterTenThatNeverServed) {
  for (int i = 0; i < 9; ++i) EXPECT_TRUE(policy_.WorkerCrashed(std::nullopt));
  EXPECT_TRUE(policy_.WorkerCrashed(1ms)) << "it served";
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(policy_.WorkerCrashed(std::nullopt));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(policy_.StartFailed());
  EXPECT_FALSE(policy_.StartFailed());
}

TEST_F(RestartPolicyTest, AStartThatFailsIsAShortLife) {
  EXPECT_TRUE(policy_.StartFailed());
  EXPECT_EQ(Delay(), 20ms);
}

}  // namespace
}  // namespace skopsfs::supervisor
