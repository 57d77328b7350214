#include "supervisor/successor.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "supervisor/handover_socket.h"
#include "support/log_capture.h"
#include "support/temp_folder.h"

namespace skopsfs::supervisor {
namespace {

using handover::SupervisorState;
using handover::Tell;

class SuccessorTest : public ::testing::Test {
 protected:
  SuccessorTest() : next_(std::move(*MeetAt(path_).predecessor)) {
    successor_.OnReadable(0, "/models");
    next_.Send(Tell::kSuccessor, SupervisorState::kVersion, 0, -1, "/models");
    successor_.OnReadable(0, "/models");
  }

  testing::LogCapture log_;
  testing::TempFolder folder_;
  const std::string path_ = folder_ / "socket";
  Successor successor_{std::move(MeetAt(path_).listener)};
  handover::Channel next_;
};

TEST_F(SuccessorTest, AsksWhenItHasCome) { EXPECT_EQ(successor_.stage(), Successor::Stage::kAsks); }

// The caller goes on with the mount.
TEST_F(SuccessorTest, AStateThatCannotBeWrittenIsNotSent) {
  SupervisorState state;
  state.last_crash = std::string(SupervisorState::kMostBytes, 'x');
  EXPECT_FALSE(successor_.Send(state));
  EXPECT_EQ(successor_.stage(), Successor::Stage::kAsks);
  successor_.Refuse("so");
  EXPECT_EQ(next_.Receive()->tell, Tell::kHello);
  EXPECT_EQ(next_.Receive()->tell, Tell::kRefused);
  EXPECT_EQ(successor_.stage(), Successor::Stage::kNone);
}

}  // namespace
}  // namespace skopsfs::supervisor
