#include "worker/setup.h"

#include <gtest/gtest.h>

#include <utility>

#include "support/errors.h"

namespace skopsfs::worker {
namespace {

class SetupTest : public ::testing::Test {
 protected:
  std::pair<handover::Channel, handover::Channel> ends_ = handover::Channel::Pair();
  handover::Channel& supervisor_ = ends_.first;
  handover::Channel& worker_ = ends_.second;
};

// Not before: who looks for a source that is gone, again and again, takes no number.
TEST_F(SetupTest, AGenerationIsGivenWithTheTurn) {
  supervisor_.Send(handover::Tell::kServe, 7);
  EXPECT_EQ(ReceiveInheritance(worker_).generation, 7U);
  EXPECT_EQ(supervisor_.Receive()->tell, handover::Tell::kPrepared);
}

TEST_F(SetupTest, ASupervisorThatGivesNoneIsOfAnotherVersion) {
  supervisor_.Send(handover::Tell::kServe);
  EXPECT_EQ(testing::ErrnoOf([&] { ReceiveInheritance(worker_); }), EPROTO);
}

TEST_F(SetupTest, ToldToEndBefore) {
  supervisor_.Send(handover::Tell::kEnd);
  EXPECT_EQ(testing::ErrnoOf([&] { ReceiveInheritance(worker_); }), ECANCELED);
}

TEST_F(SetupTest, OfAnotherProtocolNothingIsTaken) {
  supervisor_.Send(handover::Tell::kHello, handover::kProtocolVersion + 1);
  EXPECT_EQ(testing::ErrnoOf([&] { ReceiveSetup(worker_); }), EPROTO);
}

TEST_F(SetupTest, ItSaysItsProtocol) {
  supervisor_.Send(handover::Tell::kServe, 1);
  ReceiveInheritance(worker_);
  EXPECT_EQ(supervisor_.Receive()->number, handover::kProtocolVersion);
}

}  // namespace
}  // namespace skopsfs::worker
