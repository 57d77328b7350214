#include "supervisor/worker_memories.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <unistd.h>

#include <cstring>
#include <vector>

namespace skopsfs::supervisor {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class WorkerMemoriesTest : public ::testing::Test {
 protected:
  // The INIT request of a kernel that asks again what was not answered.
  static std::vector<std::byte> Init() {
    fuse_in_header header{};
    fuse_init_in init{};
    header.len = sizeof(header) + sizeof(init);
    init.flags = FUSE_INIT_EXT;
    init.flags2 = 1U << (39 - 32);  // FUSE_HAS_RESEND
    std::vector<std::byte> bytes(header.len);
    std::memcpy(bytes.data(), &header, sizeof(header));
    std::memcpy(bytes.data() + sizeof(header), &init, sizeof(init));
    return bytes;
  }

  WorkerMemories memories_;
  handover::SessionState worker_{util::UniqueFd(dup(memories_.session()))};
};

TEST_F(WorkerMemoriesTest, WhatTheKernelSaidStays) {
  EXPECT_FALSE(memories_.HasInit());
  EXPECT_FALSE(memories_.KernelResends());
  worker_.SaveInit(Init());
  EXPECT_TRUE(memories_.HasInit());
  memories_.FixKernelResends();
  worker_.SaveInit(std::vector<std::byte>(Init().size()));
  EXPECT_TRUE(memories_.KernelResends()) << "whatever a worker writes later";
}

TEST_F(WorkerMemoriesTest, RequestsAreTakenOnce) {
  worker_.request(3).unique = 7;
  worker_.request(3).begun = 5;
  EXPECT_EQ(memories_.RequestsBegun(), 5U);
  EXPECT_THAT(memories_.TakeRequests(), SizeIs(1));
  EXPECT_THAT(memories_.TakeRequests(), IsEmpty());
}

TEST_F(WorkerMemoriesTest, AWorkerGetsAllThree) {
  using handover::Tell;
  const auto [ours, theirs] = handover::Channel::Pair();
  memories_.SendTo(ours);
  for (const auto tell : {Tell::kSession, Tell::kSlots, Tell::kMetrics}) {
    EXPECT_TRUE(theirs.Expect(tell, true).fd);
  }
}

}  // namespace
}  // namespace skopsfs::supervisor
