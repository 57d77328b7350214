#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <limits>

#include "handover/node_id.h"
#include "supervisor/quarantine.h"

namespace skopsfs::supervisor {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

handover::RequestSeen At(uint64_t slot, uint64_t unique, uint32_t crashed = 0) {
  const handover::NodeId node{.slot = slot, .index = 3};
  return {.unique = unique, .node = node.number(), .crashed = crashed};
}

class CrashRecordTest : public ::testing::Test {
 protected:
  // The slots that are served no more from then on.
  std::vector<uint64_t> Died(const std::vector<handover::RequestSeen>& requests,
                             CrashRecord::Clock::time_point now) {
    const auto before = record_.quarantined();
    record_.WorkerDied(requests, now);
    std::vector<uint64_t> added;
    for (const auto& [slot, reason] : record_.quarantined()) {
      if (!before.contains(slot)) added.push_back(slot);
    }
    return added;
  }

  const CrashRecord::Clock::time_point start_ = CrashRecord::Clock::now();
  CrashRecord record_;
};

TEST_F(CrashRecordTest, ThreeFaultsInAMinuteAtOneVersion) {
  EXPECT_THAT(Died({At(5, 1, SIGSEGV), At(6, 2)}, start_), IsEmpty());
  EXPECT_THAT(Died({At(5, 3, SIGABRT)}, start_ + seconds(20)), IsEmpty());
  EXPECT_THAT(Died({At(5, 4, SIGSEGV), At(6, 5)}, start_ + seconds(40)), ElementsAre(5));
  EXPECT_EQ(record_.quarantined().at(5), "it made the server crash 3 times (Segmentation fault)");
  EXPECT_THAT(Died({At(5, 6, SIGSEGV)}, start_ + seconds(41)), IsEmpty());
}

TEST_F(CrashRecordTest, FaultsLongAgoDoNotCount) {
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(Died({At(5, 1, SIGSEGV)}, start_ + seconds(31 * i)), IsEmpty());
  }
}

TEST_F(CrashRecordTest, FaultsAtDifferentVersions) {
  for (uint64_t slot = 1; slot < 20; ++slot) {
    EXPECT_THAT(Died({At(slot, slot, SIGSEGV)}, start_), IsEmpty());
  }
}

TEST_F(CrashRecordTest, OfTimesThatMakeNoSense) {
  for (const int64_t time :
       {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    auto waiting = At(5, 1);
    waiting.waits_for = util::WaitsFor::kSource;
    waiting.got_on = time;
    EXPECT_THAT(Died({waiting}, start_), IsEmpty());
  }
}

TEST_F(CrashRecordTest, WhatWaitedForTheSourceIsNotToBlame) {
  handover::RequestSeen waiting = At(5, 77);
  waiting.waits_for = util::WaitsFor::kSource;
  waiting.got_on = std::chrono::nanoseconds((start_ - seconds(2)).time_since_epoch()).count();
  for (int i = 0; i < 20; ++i) EXPECT_THAT(Died({waiting}, start_), IsEmpty());
  // What it had just asked for may have been too much.
  waiting.got_on += std::chrono::nanoseconds(seconds(2)).count();
  for (int i = 0; i < 9; ++i) EXPECT_THAT(Died({waiting}, start_), IsEmpty());
  EXPECT_THAT(Died({waiting}, start_), ElementsAre(5));
}

TEST_F(CrashRecordTest, NotWithoutEnd) {
  for (uint64_t slot = 1; slot <= 2000; ++slot) {
    for (int i = 0; i < 3; ++i) Died({At(slot, slot, SIGSEGV)}, start_);
  }
  EXPECT_EQ(record_.quarantined().size(), 1000U);
}

TEST_F(CrashRecordTest, WhatWaitedForItsTurnIsNotToBlame) {
  handover::RequestSeen queued = At(5, 77);
  queued.is_queued = true;
  handover::RequestSeen late = queued;
  late.crashed = handover::kTimedOut;
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(Died({i % 2 == 0 ? queued : late}, start_), IsEmpty());
  }
}

// Killed from outside: what it was at says nothing, unless it is the same each time.
TEST_F(CrashRecordTest, TenDeathsAtOneRequest) {
  for (int i = 1; i < 10; ++i) {
    const uint64_t unique = i == 1 ? 77 : 77 | handover::kAskedAgain;
    EXPECT_THAT(Died({At(5, unique), At(6, 1000 + static_cast<uint64_t>(i))}, start_), IsEmpty());
  }
  EXPECT_THAT(Died({At(5, 77 | handover::kAskedAgain)}, start_), ElementsAre(5));
}

TEST_F(CrashRecordTest, ARequestThatWasAnsweredStartsAnew) {
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 9; ++i) {
      EXPECT_THAT(Died({At(5, 77)}, start_), IsEmpty());
    }
    EXPECT_THAT(Died({}, start_), IsEmpty());
  }
}

TEST_F(CrashRecordTest, RequestsThatDoNotEnd) {
  for (int i = 0; i < 2; ++i) Died({At(5, 1, handover::kTimedOut)}, start_);
  EXPECT_THAT(Died({At(5, 1, handover::kTimedOut)}, start_), ElementsAre(5));
  EXPECT_EQ(record_.quarantined().at(5), "requests for it did not end, 3 times");
}

TEST_F(CrashRecordTest, ManyRequestsAtOneDeathAreOneFault) {
  const std::vector<handover::RequestSeen> many = {At(5, 1, SIGSEGV), At(5, 2, SIGSEGV),
                                                   At(5, 3, SIGSEGV)};
  EXPECT_THAT(Died(many, start_), IsEmpty());
  EXPECT_THAT(Died(many, start_), IsEmpty());
  EXPECT_THAT(Died(many, start_), ElementsAre(5));
}

TEST_F(CrashRecordTest, RequestsThatDoNotEndForLong) {
  const auto hang = [&](int i) {
    return Died({At(5, 1, handover::kTimedOut), At(5, 2, handover::kTimedOut), At(6, 3)},
                start_ + std::chrono::minutes(5 * i));
  };
  EXPECT_THAT(hang(1), IsEmpty());
  EXPECT_THAT(hang(2), IsEmpty());
  EXPECT_THAT(hang(3), ElementsAre(5));
}

// Then it is the source that hangs.
TEST_F(CrashRecordTest, RequestsOfSeveralVersionsThatDoNotEnd) {
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(Died({At(5, 1, handover::kTimedOut), At(6, 2, handover::kTimedOut)}, start_),
                IsEmpty());
  }
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(Died({At(5, 1, handover::kTimedOut)}, start_), IsEmpty());
  }
  EXPECT_THAT(Died({At(5, 1, handover::kTimedOut)}, start_), ElementsAre(5));
}

}  // namespace
}  // namespace skopsfs::supervisor
