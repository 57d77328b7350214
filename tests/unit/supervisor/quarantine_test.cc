#include "supervisor/quarantine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

#include "handover/node_id.h"
#include "handover/slot_store.h"
#include "support/log_capture.h"

namespace skopsfs::supervisor {
namespace {

using namespace std::chrono_literals;
using handover::NodeId;
using handover::RequestSeen;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class QuarantineTest : public ::testing::Test {
 protected:
  uint64_t Add(const std::string& name, mode_t type = S_IFREG) {
    struct stat st {};
    st.st_mode = type | 0644;
    st.st_ino = 77;
    return store_.Add(0, name, st)->id;
  }
  static RequestSeen Fault(uint64_t slot, uint32_t index = 0) {
    return {.unique = 1, .node = NodeId{slot, index}.number(), .crashed = SIGSEGV};
  }
  void Die(const RequestSeen& request, const std::vector<RequestSeen>& stuck = {}) {
    for (int i = 0; i < 3; ++i) quarantine_.WorkerDied({request}, stuck);
  }
  // What the next worker is told.
  std::vector<std::string> Sent() const { return SentBy(quarantine_); }
  static std::vector<std::string> SentBy(const Quarantine& quarantine) {
    std::vector<std::string> sent;
    const auto [ours, theirs] = handover::Channel::Pair();
    EXPECT_TRUE(quarantine.SendTo(ours, Quarantine::Clock::now() + 1min));
    ours.Send(handover::Tell::kServe);
    for (auto message = theirs.Receive(); message->tell == handover::Tell::kQuarantine;
         message = theirs.Receive()) {
      sent.push_back(message->text);
    }
    return sent;
  }

  const testing::LogCapture log_;
  const WorkerMemories memories_;
  handover::SlotStore store_{util::UniqueFd(dup(memories_.slots()))};
  Quarantine quarantine_{memories_, "/models", false};
};

TEST_F(QuarantineTest, TheNextProgramGoesOnWithIt) {
  Die(Fault(Add("a.skops")));
  Die(Fault(Add("folder", S_IFDIR)));
  handover::SupervisorState state;
  quarantine_.SaveTo(state);
  ASSERT_EQ(state.quarantined.size(), 2U);
  EXPECT_EQ(state.quarantined[1].identity, handover::Identity());
  const auto lines = log_.lines().size();
  Quarantine next(memories_, "/models", false);
  next.Restore(state);
  next.Tell();
  EXPECT_EQ(SentBy(next), Sent());
  EXPECT_EQ(log_.lines().size(), lines);  // they were told of
}

TEST_F(QuarantineTest, AnArchiveIsToldOnce) {
  Die(Fault(Add("a.skops")));
  quarantine_.Tell();
  EXPECT_THAT(log_.texts(), ElementsAre(HasSubstr("\"a.skops\": is no longer served: it made")));
  EXPECT_THAT(Sent(), ElementsAre(HasSubstr(" 77 0 0 0 it made the server crash 3 times")));
}

TEST_F(QuarantineTest, AFolderIsServedAllTheSame) {
  Die(Fault(Add("folder", S_IFDIR)));
  EXPECT_THAT(log_.texts(), ElementsAre(EndsWith("it is still served, since it is a folder")));
  EXPECT_THAT(Sent(), IsEmpty());
}

TEST_F(QuarantineTest, WhatTheMountSaysOfItselfIsNoArchive) {
  Die(Fault(0, 2));
  EXPECT_THAT(log_.texts(), IsEmpty());
}

TEST_F(QuarantineTest, TheRootOfASingleArchiveIsItsPresentVersion) {
  Quarantine quarantine(memories_, "/models", true);
  Add("");
  for (int i = 0; i < 3; ++i) quarantine.WorkerDied({Fault(0)}, {});
  EXPECT_THAT(log_.texts(), ElementsAre(HasSubstr("\"/models\": is no longer served")));
}

TEST_F(QuarantineTest, WhatAWorkerWasKilledForHasTimedOut) {
  auto request = Fault(Add("a.skops"));
  request.crashed = 0;
  Die(request, {request});
  EXPECT_THAT(Sent(), ElementsAre(EndsWith("requests for it did not end, 3 times")));
}

TEST_F(QuarantineTest, AWorkerThatTakesTooLongIsNotWaitedFor) {
  Die(Fault(Add("a.skops")));
  const auto [ours, theirs] = handover::Channel::Pair();
  EXPECT_FALSE(quarantine_.SendTo(ours, Quarantine::Clock::now() - 1s));
}

}  // namespace
}  // namespace skopsfs::supervisor
