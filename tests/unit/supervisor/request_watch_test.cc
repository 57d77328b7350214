#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "supervisor/worker_watch.h"

namespace skopsfs::supervisor {
namespace {

using namespace std::chrono_literals;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using util::WaitsFor;
using Because = RequestWatch::Because;

class RequestWatchTest : public ::testing::Test {
 protected:
  // One that was begun and got on so many seconds ago.
  static handover::RequestSeen Request(uint64_t unique, int begun, int got_on,
                                       WaitsFor waits_for = WaitsFor::kNothing) {
    const auto ago = [](int age) {
      return std::chrono::nanoseconds((kNow - std::chrono::seconds(age)).time_since_epoch())
          .count();
    };
    handover::RequestSeen request;
    request.unique = unique;
    request.asked = request.since = ago(begun);
    request.got_on = ago(got_on);
    request.waits_for = waits_for;
    return request;
  }
  std::vector<Because> Look(const std::vector<handover::RequestSeen>& requests) {
    std::vector<Because> found;
    for (const auto& slow : watch_.Look(requests, kNow)) found.push_back(slow.because);
    return found;
  }

  static constexpr RequestWatch::Clock::time_point kNow{1000s};
  RequestWatch watch_{10s};
};

TEST_F(RequestWatchTest, OneThatGetsNoFurtherIsStuck) {
  EXPECT_THAT(Look({Request(1, 20, 20)}), ::testing::ElementsAre(Because::kItIsStuck));
  EXPECT_THAT(watch_.stuck(), SizeIs(1));
  EXPECT_THAT(Look({Request(1, 9, 20)}), IsEmpty()) << "what another request did does not count";
  EXPECT_THAT(watch_.stuck(), IsEmpty());
}

TEST_F(RequestWatchTest, OneThatGetsOnIsNot) {
  EXPECT_THAT(Look({Request(1, 29, 1)}), IsEmpty());
  EXPECT_THAT(Look({Request(1, 31, 1)}), ::testing::ElementsAre(Because::kItGoesOn));
  EXPECT_THAT(Look({Request(1, 31, 1)}), IsEmpty()) << "told before";
  EXPECT_THAT(watch_.stuck(), IsEmpty());
}

TEST_F(RequestWatchTest, NobodyIsStuckWhileTheSourceHangs) {
  EXPECT_THAT(Look({Request(1, 20, 20, WaitsFor::kSource), Request(2, 20, 20)}),
              ::testing::ElementsAre(Because::kTheSource));
  EXPECT_TRUE(watch_.source_hangs());
  EXPECT_THAT(watch_.stuck(), IsEmpty());
  Look({Request(1, 20, 1, WaitsFor::kSource)});
  EXPECT_FALSE(watch_.source_hangs());
}

TEST_F(RequestWatchTest, OneThatGetsOnIsNoExcuseForAnother) {
  handover::RequestSeen queued = Request(3, 40, 40);
  queued.is_queued = true;
  EXPECT_THAT(Look({Request(1, 29, 1), Request(2, 20, 20), queued}),
              ::testing::ElementsAre(Because::kItIsStuck, Because::kOthers));
  EXPECT_THAT(watch_.stuck(), SizeIs(1));
  EXPECT_EQ(watch_.stuck()[0].unique, 2);
}

TEST_F(RequestWatchTest, WhoWaitsForOthersIsNotStuck) {
  handover::RequestSeen queued = Request(2, 40, 40);
  queued.is_queued = true;
  EXPECT_THAT(Look({Request(1, 40, 40, WaitsFor::kOthers), queued}),
              ::testing::ElementsAre(Because::kOthers, Because::kOthers));
  EXPECT_THAT(watch_.stuck(), IsEmpty());
}

TEST_F(RequestWatchTest, WithoutATimeoutNoneIs) {
  RequestWatch watch(0ms);
  EXPECT_THAT(watch.Look({Request(1, 40, 40)}, kNow), SizeIs(1));
  EXPECT_THAT(watch.stuck(), IsEmpty());
  watch.Look({Request(1, 40, 40, WaitsFor::kSource)}, kNow);
  EXPECT_TRUE(watch.source_hangs());
}

TEST_F(RequestWatchTest, WhateverAWorkerWritesALookIsShort) {
  std::vector<handover::RequestSeen> requests;
  for (uint64_t i = 1; i <= 64; ++i) requests.push_back(Request(i, 100, 100, WaitsFor::kSource));
  requests[0].since = INT64_MAX;
  requests[0].asked = INT64_MIN;
  requests[1].got_on = INT64_MIN;
  requests[2].waits_for = WaitsFor{99};
  EXPECT_THAT(Look(requests), SizeIs(16));
  EXPECT_THAT(Look(requests), SizeIs(16)) << "those that were left out";
}

}  // namespace
}  // namespace skopsfs::supervisor
