#include "fuse/slow_lane.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>
#include <vector>

namespace skopsfs::fuse {
namespace {

using ::testing::ElementsAre;

TEST(SlowLane, RunsAJobAtOnceWhenThereIsRoom) {
  SlowLane lane(1);
  int runs = 0;
  lane.Run(7, {}, [&] { ++runs; });
  lane.Run(7, {}, [&] { ++runs; });
  EXPECT_EQ(runs, 2);
}

// Runs jobs while the lane is full, by bringing them from inside a job.
TEST(SlowLane, PutsJobsOffWhenFullAndThenMembersTakeTurns) {
  SlowLane lane(1);
  std::vector<std::string> order;
  const auto job = [&](const char* name) { return [&order, name] { order.emplace_back(name); }; };
  lane.Run(1, {}, [&] {
    lane.Run(1, {}, job("a2"));
    lane.Run(2, {}, job("b1"));
    lane.Run(2, {}, job("b2"));
    lane.Run(2, {}, job("b3"));
    lane.Run(3, {}, job("c1"));
    EXPECT_THAT(order, ElementsAre());
    order.emplace_back("a1");
  });
  EXPECT_THAT(order, ElementsAre("a1", "b1", "c1", "a2", "b2", "b3"));
}

TEST(SlowLane, ThreadsAreFreeAgainWhenItIsFull) {
  SlowLane lane(2);
  std::latch inside(2);
  std::latch leave(1);
  std::atomic<int> runs = 0;
  const auto wait = [&] {
    inside.count_down();
    leave.wait();
    ++runs;
  };
  std::jthread first([&] { lane.Run(1, {}, wait); });
  std::jthread second([&] { lane.Run(2, {}, wait); });
  inside.wait();
  for (uint64_t node = 3; node < 100; ++node) lane.Run(node, {}, [&] { ++runs; });  // returns
  EXPECT_EQ(runs, 0);
  leave.count_down();
  first.join();
  second.join();
  EXPECT_EQ(runs, 99);
}

TEST(SlowLane, OneJobOfAMemberAtATime) {
  SlowLane lane(4);
  std::atomic<int> inside = 0;
  std::atomic<int> runs = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int k = 0; k < 500; ++k) {
          lane.Run(5, {}, [&] {
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

RequestSeen Request(uint64_t unique, int64_t asked) { return {.unique = unique, .asked = asked}; }

// What the supervisor reads, and the oldest request of the worker's own account.
TEST(SlowLane, TheOldestThatWaitsHasARecord) {
  const util::UniqueFd memory = SessionState::MakeMemory();
  SessionState state(memory);
  SlowLane lane(1);
  lane.KeepRecord(state.queued());
  const auto waiting = [&]() -> uint64_t {
    const auto seen = SessionState::ReadRequests(memory.get());
    if (seen.empty()) return 0;
    EXPECT_EQ(seen.size(), 1U);
    EXPECT_TRUE(seen[0].is_queued);
    EXPECT_EQ(seen[0].asked, state.OldestRequest());
    return seen[0].unique;
  };
  std::vector<uint64_t> at;
  const auto look = [&] { at.push_back(waiting()); };
  lane.Run(1, Request(10, 100), [&] {
    EXPECT_EQ(waiting(), 0U) << "it is being run";
    lane.Run(1, Request(11, 400), look);
    EXPECT_EQ(waiting(), 11U);
    lane.Run(2, Request(12, 300), look);
    EXPECT_EQ(waiting(), 12U);
    lane.Run(2, Request(13, 500), look);
    EXPECT_EQ(waiting(), 12U);
  });
  EXPECT_THAT(at, ElementsAre(11, 13, 0)) << "12, then 11, then 13 were run";
  EXPECT_EQ(waiting(), 0U);
  EXPECT_EQ(state.OldestRequest(), INT64_MAX);
}

}  // namespace
}  // namespace skopsfs::fuse
