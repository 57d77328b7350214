#include "supervisor/worker_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>

#include "support/errors.h"

namespace skopsfs::supervisor {
namespace {

using handover::Message;
using handover::Tell;
using testing::ErrnoOf;
using Clock = WorkerProcess::Clock;
using Stage = WorkerProcess::Stage;

util::UniqueFd Open(const char* path) { return util::UniqueFd(open(path, O_PATH | O_CLOEXEC)); }

class WorkerProcessTest : public ::testing::Test {
 protected:
  ~WorkerProcessTest() override {
    for (const auto* worker : {&worker_, &other_}) waitpid(worker->pid(), nullptr, 0);
  }
  static Message Opened(Tell tell) { return {.tell = tell, .text = "/models", .fd = Open("/")}; }

  // It says nothing, and ends. What it is said to have said is what counts here.
  const WorkerProcess::Program program_ = std::make_shared<util::UniqueFd>(Open("/bin/true"));
  WorkerProcess worker_{program_, false, {}};
  WorkerProcess other_{program_, true, {}};
};

TEST_F(WorkerProcessTest, Stages) {
  EXPECT_EQ(worker_.stage(), Stage::kStarting);
  EXPECT_EQ(ErrnoOf([&] { worker_.Serving(); }), EPROTO);
  EXPECT_EQ(ErrnoOf([&] { worker_.Prepared(handover::kProtocolVersion + 1); }), EPROTO);
  worker_.Prepared(handover::kProtocolVersion);
  EXPECT_EQ(worker_.stage(), Stage::kPrepared);
  EXPECT_EQ(ErrnoOf([&] { worker_.Prepared(handover::kProtocolVersion); }), EPROTO);
  EXPECT_EQ(ErrnoOf([&] { worker_.Serving(); }), EPROTO);
  worker_.ToldToTakeOver();
  worker_.Serving();
  EXPECT_EQ(worker_.stage(), Stage::kServing);
}

TEST_F(WorkerProcessTest, TheSourceAsItHasOpenedIt) {
  other_.SourceOpened(Opened(Tell::kSource));
  EXPECT_EQ(ErrnoOf([&] { other_.TakeSource(); }), EPROTO) << "a part is missing";
  other_.SourceOpened(Opened(Tell::kSourcePath));
  const auto source = other_.TakeSource();
  ASSERT_TRUE(source);
  EXPECT_TRUE(source->folder && source->canonical_folder);
  EXPECT_EQ(source->canonical_path, "/models");
  EXPECT_FALSE(other_.TakeSource());
}

TEST_F(WorkerProcessTest, ASourceThatItWasNotToOpenIsRefused) {
  EXPECT_EQ(ErrnoOf([&] { worker_.SourceOpened(Opened(Tell::kSource)); }), EPROTO);
  EXPECT_EQ(ErrnoOf([&] { other_.SourceOpened({.tell = Tell::kSource, .text = {}, .fd = {}}); }),
            EPROTO);
  other_.Prepared(handover::kProtocolVersion);
  EXPECT_EQ(ErrnoOf([&] { other_.SourceOpened(Opened(Tell::kSource)); }), EPROTO);
}

TEST_F(WorkerProcessTest, HasTimeToStartAndToEnd) {
  EXPECT_FALSE(worker_.IsLate());
  worker_.TellToEnd();
  EXPECT_TRUE(worker_.told_to_end());
  EXPECT_FALSE(worker_.IsToBeKilled());
  EXPECT_LE(worker_.due(), Clock::now()) << "its threads are looked at first";
}

TEST_F(WorkerProcessTest, TroublesAreSaidOnce) {
  EXPECT_TRUE(worker_.SayHasToEnd());
  EXPECT_FALSE(worker_.SayHasToEnd());
  EXPECT_TRUE(worker_.SayWaitsForSource());
  EXPECT_FALSE(worker_.SayWaitsForSource());
}

TEST_F(WorkerProcessTest, HowItEnded) {
  int status = 0;
  ASSERT_EQ(waitpid(worker_.pid(), &status, 0), worker_.pid());
  EXPECT_EQ(Describe(status), "ended with 0");
  EXPECT_EQ(Describe(SIGSEGV), "was killed by SIGSEGV");
  EXPECT_EQ(Describe(std::nullopt), "was killed, and cannot end, since a system call of it hangs");
}

}  // namespace
}  // namespace skopsfs::supervisor
