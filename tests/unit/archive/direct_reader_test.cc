#include "archive/direct_reader.h"

#include <gtest/gtest.h>

#include <random>

namespace skopsfs::archive {
namespace {

constexpr uint64_t kFileSize = uint64_t{1} << 20;

bool GoesOn(SequentialReadDetector& detector, uint64_t offset, uint64_t size) {
  return detector.Note(offset, size) == SequentialReadDetector::Pattern::kLongRun;
}

// How many of `count` reads in order from `offset` on are not yet a long run.
uint64_t ShortPart(SequentialReadDetector& detector, uint64_t offset, uint64_t count) {
  uint64_t jumps = 0;
  for (uint64_t i = 0; i < count; ++i)
    jumps += GoesOn(detector, offset + i * kFileSize, kFileSize) ? 0 : 1;
  return jumps;
}

TEST(SequentialReadDetector, InOrder) {
  SequentialReadDetector detector;
  EXPECT_EQ(ShortPart(detector, 12345, 1000), 32U);
  EXPECT_TRUE(GoesOn(detector, 12345 + 1000 * kFileSize, kFileSize));
}

TEST(SequentialReadDetector, WindowsAsTheKernelAsksForThem) {
  SequentialReadDetector detector;
  for (uint64_t window = 0; window < 100; ++window) {
    for (const uint64_t piece : {3, 0, 1, 2, 7, 5, 6, 4}) {
      const bool goes_on = GoesOn(detector, (window * 8 + piece) * kFileSize, kFileSize);
      EXPECT_TRUE(goes_on == (window > 4) || window == 4) << window;  // becomes long in its midst
    }
  }
}

TEST(SequentialReadDetector, TheSameAgainAndAgain) {
  SequentialReadDetector detector;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ShortPart(detector, 0, 16), 16U);
}

TEST(SequentialReadDetector, OnlyTheFirstOfARunIsAJump) {
  SequentialReadDetector detector;
  EXPECT_EQ(detector.Note(5 * kFileSize, kFileSize), SequentialReadDetector::Pattern::kRandom);
  EXPECT_EQ(detector.Note(6 * kFileSize, kFileSize), SequentialReadDetector::Pattern::kShortRun);
  EXPECT_EQ(detector.Note(5 * kFileSize, kFileSize / 8),
            SequentialReadDetector::Pattern::kShortRun);
  EXPECT_EQ(detector.Note(100 * kFileSize, kFileSize), SequentialReadDetector::Pattern::kRandom);
}

TEST(SequentialReadDetector, SeveralReaders) {
  SequentialReadDetector detector;
  for (uint64_t i = 0; i < 100; ++i) {
    for (uint64_t reader = 0; reader < 16; ++reader) {
      EXPECT_EQ(GoesOn(detector, (reader * 1000 + i) * kFileSize, kFileSize), i >= 32);
    }
  }
}

TEST(SequentialReadDetector, Jumps) {
  SequentialReadDetector detector;
  std::mt19937_64 random(1);
  for (uint64_t i = 0; i < 10000; ++i) {
    const uint64_t window = random() % (uint64_t{1} << 40) / kFileSize * kFileSize;
    EXPECT_EQ(ShortPart(detector, window, 8), 8U);
  }
}

// A window that ends where another one begins, whose pages are there already.
TEST(SequentialReadDetector, JumpsThatEndSmall) {
  SequentialReadDetector detector;
  EXPECT_EQ(ShortPart(detector, 12345, 7), 7U);
  EXPECT_FALSE(GoesOn(detector, 12345 + 7 * kFileSize, kFileSize / 8));
}

TEST(SequentialReadDetector, AtTheEndsOfWhatNumbersCanSay) {
  SequentialReadDetector detector;
  EXPECT_FALSE(GoesOn(detector, 0, kFileSize));
  EXPECT_FALSE(GoesOn(detector, UINT64_MAX - kFileSize, kFileSize));
  EXPECT_FALSE(GoesOn(detector, UINT64_MAX / 2, kFileSize));
}

}  // namespace
}  // namespace skopsfs::archive
