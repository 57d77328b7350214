#include "archive/read_runs.h"

#include <gtest/gtest.h>

#include <random>

namespace skopsfs::archive {
namespace {

constexpr uint64_t kSize = uint64_t{1} << 20;

bool GoesOn(ReadRuns& runs, uint64_t offset, uint64_t size) {
  return runs.Note(offset, size) == ReadRuns::Kind::kLongRun;
}

// How many of `count` reads in order from `offset` on are not yet a long run.
uint64_t ShortPart(ReadRuns& runs, uint64_t offset, uint64_t count) {
  uint64_t jumps = 0;
  for (uint64_t i = 0; i < count; ++i) jumps += GoesOn(runs, offset + i * kSize, kSize) ? 0 : 1;
  return jumps;
}

TEST(ReadRuns, InOrder) {
  ReadRuns runs;
  EXPECT_EQ(ShortPart(runs, 12345, 1000), 32U);
  EXPECT_TRUE(GoesOn(runs, 12345 + 1000 * kSize, kSize));
}

TEST(ReadRuns, WindowsAsTheKernelAsksForThem) {
  ReadRuns runs;
  for (uint64_t window = 0; window < 100; ++window) {
    for (const uint64_t piece : {3, 0, 1, 2, 7, 5, 6, 4}) {
      const bool goes_on = GoesOn(runs, (window * 8 + piece) * kSize, kSize);
      EXPECT_TRUE(goes_on == (window > 4) || window == 4) << window;  // becomes long in its midst
    }
  }
}

TEST(ReadRuns, TheSameAgainAndAgain) {
  ReadRuns runs;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ShortPart(runs, 0, 16), 16U);
}

TEST(ReadRuns, OnlyTheFirstOfARunIsAJump) {
  ReadRuns runs;
  EXPECT_EQ(runs.Note(5 * kSize, kSize), ReadRuns::Kind::kJump);
  EXPECT_EQ(runs.Note(6 * kSize, kSize), ReadRuns::Kind::kShortRun);
  EXPECT_EQ(runs.Note(5 * kSize, kSize / 8), ReadRuns::Kind::kShortRun);
  EXPECT_EQ(runs.Note(100 * kSize, kSize), ReadRuns::Kind::kJump);
}

TEST(ReadRuns, SeveralReaders) {
  ReadRuns runs;
  for (uint64_t i = 0; i < 100; ++i) {
    for (uint64_t reader = 0; reader < 16; ++reader) {
      EXPECT_EQ(GoesOn(runs, (reader * 1000 + i) * kSize, kSize), i >= 32);
    }
  }
}

TEST(ReadRuns, Jumps) {
  ReadRuns runs;
  std::mt19937_64 random(1);
  for (uint64_t i = 0; i < 10000; ++i) {
    const uint64_t window = random() % (uint64_t{1} << 40) / kSize * kSize;
    EXPECT_EQ(ShortPart(runs, window, 8), 8U);
  }
}

// A window that ends where another one begins, whose pages are there already.
TEST(ReadRuns, JumpsThatEndSmall) {
  ReadRuns runs;
  EXPECT_EQ(ShortPart(runs, 12345, 7), 7U);
  EXPECT_FALSE(GoesOn(runs, 12345 + 7 * kSize, kSize / 8));
}

TEST(ReadRuns, AtTheEndsOfWhatNumbersCanSay) {
  ReadRuns runs;
  EXPECT_FALSE(GoesOn(runs, 0, kSize));
  EXPECT_FALSE(GoesOn(runs, UINT64_MAX - kSize, kSize));
  EXPECT_FALSE(GoesOn(runs, UINT64_MAX / 2, kSize));
}

}  // namespace
}  // namespace skopsfs::archive
