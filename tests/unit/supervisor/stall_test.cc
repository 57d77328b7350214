#include "supervisor/stall.h"

#include <gtest/gtest.h>

namespace skopsfs::supervisor {
namespace {

using namespace std::chrono_literals;

constexpr Stall::Clock::time_point kStart{1000s};

TEST(Stall, LastsWhileRequestsWaitAndNoneIsTaken) {
  Stall stall;
  EXPECT_EQ(stall.Look(true, 0, kStart), 0s);
  EXPECT_TRUE(stall.has_begun());
  EXPECT_EQ(stall.Look(true, 0, kStart + 5s), 5s);
  EXPECT_EQ(stall.Look(true, 0, kStart + 9s), 9s);
}

TEST(Stall, EndsWhenOneIsTakenOrNoneWaits) {
  Stall stall;
  stall.Look(true, 0, kStart);
  EXPECT_EQ(stall.Look(true, 1, kStart + 5s), 0s);
  EXPECT_FALSE(stall.has_begun());
  stall.Look(true, 1, kStart + 6s);
  EXPECT_EQ(stall.Look(false, 1, kStart + 7s), 0s);
  EXPECT_FALSE(stall.has_begun());
}

TEST(Stall, OfOneWorkerIsNoneOfTheNext) {
  Stall stall;
  stall.Look(true, 0, kStart);
  stall.Reset();
  EXPECT_EQ(stall.Look(true, 0, kStart + 5s), 0s);
}

}  // namespace
}  // namespace skopsfs::supervisor
