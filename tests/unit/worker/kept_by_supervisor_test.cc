#include "worker/kept_by_supervisor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "util/unique_fd.h"

namespace skopsfs::worker {
namespace {

// A supervisor that takes nothing for a while.
class KeptBySupervisorTest : public ::testing::Test {
 protected:
  // Keeps until nothing more is taken; how many were kept.
  uint64_t KeepAll() {
    uint64_t kept = 0;
    while (keeper_.Keep(kSlot, file_.get()) != 0) ++kept;
    return kept;
  }

  // What the supervisor was told since the last call.
  std::vector<std::pair<handover::Tell, uint64_t>> Hear() {
    std::vector<std::pair<handover::Tell, uint64_t>> heard;
    pollfd event{supervisor_.descriptor(), POLLIN, 0};
    while (poll(&event, 1, 0) > 0) {
      const auto message = supervisor_.Receive();
      EXPECT_EQ(bool{message->fd}, message->tell == handover::Tell::kKeep);
      heard.emplace_back(message->tell, message->number);
    }
    return heard;
  }

  static constexpr uint64_t kSlot = 5;
  std::pair<handover::Channel, handover::Channel> ends_ = handover::Channel::Pair();
  handover::Channel& supervisor_ = ends_.first;
  util::UniqueFd file_{open("/proc/self/exe", O_RDONLY | O_CLOEXEC)};
  static constexpr size_t kMost = 1000;
  KeptBySupervisor keeper_{ends_.second, 0, 0, kMost};
};

TEST_F(KeptBySupervisorTest, WhatIsNotTakenIsNotKept) {
  const uint64_t kept = KeepAll();
  EXPECT_GT(kept, 0U);
  EXPECT_EQ(Hear().size(), kept);
  const uint64_t number = keeper_.Keep(kSlot, file_.get());
  EXPECT_GT(number, kept);
  EXPECT_EQ(Hear(), (std::vector{std::pair(handover::Tell::kKeep, number)}));
}

TEST_F(KeptBySupervisorTest, WhatIsDroppedIsSaidLaterWhereItIsNotTaken) {
  const uint64_t kept = KeepAll();
  keeper_.Drop(kept);
  keeper_.Drop(1);
  EXPECT_EQ(Hear().size(), kept);
  keeper_.TryAgain();
  EXPECT_EQ(Hear(), (std::vector{std::pair(handover::Tell::kDrop, kept),
                                 std::pair(handover::Tell::kDrop, uint64_t{1})}));
}

TEST_F(KeptBySupervisorTest, TheRestIsSaidAtTheEnd) {
  const uint64_t kept = KeepAll();
  keeper_.Drop(kept);
  Hear();
  keeper_.SendRest();
  EXPECT_EQ(Hear(), (std::vector{std::pair(handover::Tell::kDrop, kept)}));
}

// What it was not yet told to drop takes room there, too.
TEST_F(KeptBySupervisorTest, NoMoreThanTheSupervisorHasRoomFor) {
  std::vector<uint64_t> kept;
  while (kept.size() < kMost) {
    while (const auto number = keeper_.Keep(kSlot, file_.get())) kept.push_back(number);
    Hear();
  }
  EXPECT_EQ(kept.size(), kMost);
  EXPECT_EQ(keeper_.Keep(kSlot, file_.get()), 0U);
  keeper_.Drop(kept[5]);
  EXPECT_NE(keeper_.Keep(kSlot, file_.get()), 0U);
  EXPECT_EQ(keeper_.Keep(kSlot, file_.get()), 0U);
}

}  // namespace
}  // namespace skopsfs::worker
