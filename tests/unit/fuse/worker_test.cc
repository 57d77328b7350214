#include "fuse/worker.h"

#include <gtest/gtest.h>

#include "support/errors.h"

namespace skopsfs::fuse {
namespace {

class WaitForTurnTest : public ::testing::Test {
 protected:
  std::pair<Channel, Channel> ends_ = Channel::Pair();
  Channel& supervisor_ = ends_.first;
  Channel& worker_ = ends_.second;
};

// Not before: who looks for a source that is gone, again and again, takes no number.
TEST_F(WaitForTurnTest, AGenerationIsGivenWithTheTurn) {
  supervisor_.Send(Tell::kServe, 7);
  EXPECT_EQ(WaitForTurn(worker_).generation, 7U);
  EXPECT_EQ(supervisor_.Receive()->tell, Tell::kPrepared);
}

TEST_F(WaitForTurnTest, ASupervisorThatGivesNoneIsOfAnotherVersion) {
  supervisor_.Send(Tell::kServe);
  EXPECT_EQ(testing::ErrnoOf([&] { WaitForTurn(worker_); }), EPROTO);
}

TEST_F(WaitForTurnTest, ToldToEndBefore) {
  supervisor_.Send(Tell::kEnd);
  EXPECT_EQ(testing::ErrnoOf([&] { WaitForTurn(worker_); }), ECANCELED);
}

}  // namespace
}  // namespace skopsfs::fuse
