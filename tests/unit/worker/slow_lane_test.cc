#include "worker/slow_lane.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <latch>
#include <thread>
#include <vector>

namespace skopsfs::worker {
namespace {

using ::testing::ElementsAre;

util::TooMuchEffort Open(uint64_t of) { return {util::Effort::kOpen, of}; }
util::TooMuchEffort Decode(uint64_t of) { return {util::Effort::kDecode, of}; }
util::TooMuchEffort Huge(uint64_t of) { return {util::Effort::kHuge, of}; }

TEST(SlowLane, RunsAJobAtOnceWhenThereIsRoom) {
  SlowLane lane(1, 1);
  int runs = 0;
  lane.Run(Decode(7), {}, [&] { ++runs; });
  lane.Run(Decode(7), {}, [&] { ++runs; });
  EXPECT_EQ(runs, 2);
}

// Runs jobs while the lane is full, by bringing them from inside a job.
TEST(SlowLane, PutsJobsOffWhenFullAndThenMembersTakeTurns) {
  SlowLane lane(1, 1);
  std::vector<std::string> order;
  const auto job = [&](const char* name) { return [&order, name] { order.emplace_back(name); }; };
  lane.Run(Decode(1), {}, [&] {
    lane.Run(Decode(1), {}, job("a2"));
    lane.Run(Decode(2), {}, job("b1"));
    lane.Run(Decode(2), {}, job("b2"));
    lane.Run(Decode(2), {}, job("b3"));
    lane.Run(Decode(3), {}, job("c1"));
    EXPECT_THAT(order, ElementsAre());
    order.emplace_back("a1");
  });
  EXPECT_THAT(order, ElementsAre("a1", "b1", "c1", "a2", "b2", "b3"));
}

TEST(SlowLane, ThreadsAreFreeAgainWhenItIsFull) {
  SlowLane lane(2, 2);
  std::latch inside(2);
  std::latch leave(1);
  std::atomic<int> runs = 0;
  const auto wait = [&] {
    inside.count_down();
    leave.wait();
    ++runs;
  };
  std::jthread first([&] { lane.Run(Decode(1), {}, wait); });
  std::jthread second([&] { lane.Run(Decode(2), {}, wait); });
  inside.wait();
  for (uint64_t node = 3; node < 100; ++node)
    lane.Run(Decode(node), {}, [&] { ++runs; });  // returns
  EXPECT_EQ(runs, 0);
  leave.count_down();
  first.join();
  second.join();
  EXPECT_EQ(runs, 99);
}

TEST(SlowLane, OneJobOfAMemberAtATime) {
  SlowLane lane(4, 4);
  std::atomic<int> inside = 0;
  std::atomic<int> runs = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int k = 0; k < 500; ++k) {
          lane.Run(Decode(5), {}, [&] {
            EXPECT_EQ(++inside, 1);
            --inside;
            ++runs;
          });
        }
      });
    }
  }
  EXPECT_EQ(runs, 2000);
}

// Threads that are in the lane until they are told to leave it.
class Busy {
 public:
  Busy(SlowLane& lane, size_t count, const std::function<util::TooMuchEffort(uint64_t)>& what)
      : inside_(static_cast<ptrdiff_t>(count)) {
    for (size_t i = 0; i < count; ++i) {
      threads_.emplace_back([this, &lane, what = what(100 + i)] {
        lane.Run(what, {}, [&] {
          inside_.count_down();
          leave_.wait();
        });
      });
    }
    inside_.wait();
  }
  ~Busy() { leave_.count_down(); }

 private:
  std::latch inside_;
  std::latch leave_{1};
  std::vector<std::jthread> threads_;
};

TEST(SlowLane, NoKindTakesAllThreads) {
  for (const auto& [busy, other] : {std::pair(&Open, &Decode), std::pair(&Decode, &Open)}) {
    SlowLane lane(4, 3);
    std::vector<std::string> order;
    {
      const Busy three(lane, 3, busy);
      lane.Run(busy(1), {}, [&] { order.emplace_back("busy"); });
      lane.Run(other(1), {}, [&] { order.emplace_back("other"); });
      lane.Run(other(2), {}, [&] { order.emplace_back("other"); });
      EXPECT_THAT(order, ElementsAre("other", "other"));
    }
    EXPECT_THAT(order, ElementsAre("other", "other", "busy"));
  }
}

TEST(SlowLane, HugeOnesAreRunOneAtATime) {
  const auto huge = [](uint64_t) { return Huge(util::kHugeIndexes); };
  SlowLane lane(4, 3);
  int runs = 0;
  {
    const Busy one(lane, 1, huge);
    for (uint64_t i = 0; i < 20; ++i) lane.Run(huge(i), {}, [&] { ++runs; });
    EXPECT_EQ(runs, 0);
    lane.Run(Huge(util::kHugeSchemas), {}, [&] { ++runs; });
    lane.Run(Decode(1), {}, [&] { ++runs; });
    lane.Run(Open(1), {}, [&] { ++runs; });
    EXPECT_EQ(runs, 3);
  }
  EXPECT_EQ(runs, 23);
}

// As one that has found that there is more to do than was known.
TEST(SlowLane, AJobPutsOffWhatItBrings) {
  SlowLane lane(4, 4);
  std::vector<std::string> order;
  lane.Run(Open(1), {}, [&] {
    lane.Run(Huge(1), {}, [&] { order.emplace_back("rest"); });
    lane.Run(Open(1), {}, [&] { order.emplace_back("next"); });
    order.emplace_back("first");
  });
  EXPECT_THAT(order, ::testing::UnorderedElementsAre("first", "rest", "next"));
  EXPECT_EQ(order.front(), "first");
}

handover::RequestSeen Request(uint64_t unique, int64_t asked) {
  return {.unique = unique, .asked = asked};
}

// What the supervisor reads, and the oldest request of the worker's own account.
TEST(SlowLane, TheOldestThatWaitsHasARecord) {
  const util::UniqueFd memory = handover::SessionState::MakeMemory();
  handover::SessionState state(memory);
  SlowLane lane(1, 1);
  lane.KeepRecord(state.queued());
  const auto waiting = [&]() -> uint64_t {
    const auto seen = handover::SessionState::ReadRequests(memory.get());
    if (seen.empty()) return 0;
    EXPECT_EQ(seen.size(), 1U);
    EXPECT_TRUE(seen[0].is_queued);
    EXPECT_EQ(seen[0].asked, state.OldestRequest());
    return seen[0].unique;
  };
  std::vector<uint64_t> at;
  const auto look = [&] { at.push_back(waiting()); };
  lane.Run(Decode(1), Request(10, 100), [&] {
    EXPECT_EQ(waiting(), 0U) << "it is being run";
    lane.Run(Decode(1), Request(11, 400), look);
    EXPECT_EQ(waiting(), 11U);
    lane.Run(Decode(2), Request(12, 300), look);
    EXPECT_EQ(waiting(), 12U);
    lane.Run(Decode(2), Request(13, 500), look);
    EXPECT_EQ(waiting(), 12U);
  });
  EXPECT_THAT(at, ElementsAre(11, 13, 0)) << "12, then 11, then 13 were run";
  EXPECT_EQ(waiting(), 0U);
  EXPECT_EQ(state.OldestRequest(), INT64_MAX);
}

}  // namespace
}  // namespace skopsfs::worker
