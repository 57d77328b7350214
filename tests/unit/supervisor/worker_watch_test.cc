#include "supervisor/worker_watch.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/log_capture.h"

namespace skopsfs::supervisor {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class WorkerWatchTest : public ::testing::Test {
 protected:
  ~WorkerWatchTest() override { waitpid(worker_.pid(), nullptr, 0); }

  // A thread is at this request, and got nowhere for a minute.
  void AskInVain(util::WaitsFor waits_for) {
    auto& request = state_.request(0);
    request.unique = 7;
    request.node = 1;
    request.operation = FUSE_READ;
    request.asked = request.since =
        std::chrono::nanoseconds((WorkerWatch::Clock::now() - 60s).time_since_epoch()).count();
    request.progress.waits_for = static_cast<uint32_t>(waits_for);
  }
  WorkerWatch Watch(std::chrono::milliseconds timeout) const {
    return {timeout, memories_, "/models"};
  }

  const testing::LogCapture log_;
  const WorkerMemories memories_;
  handover::SessionState state_{util::UniqueFd(dup(memories_.session()))};
  const WorkerProcess worker_{
      std::make_shared<util::UniqueFd>(open("/bin/true", O_PATH | O_CLOEXEC)), false, {}};
};

TEST_F(WorkerWatchTest, AWorkerThatGetsOnIsLookedAtAgain) {
  auto watch = Watch(10s);
  EXPECT_EQ(watch.due(), std::nullopt);
  watch.Begin();
  EXPECT_LE(watch.due().value(), WorkerWatch::Clock::now());
  EXPECT_FALSE(watch.Look(worker_, false));
  EXPECT_GT(watch.due().value(), WorkerWatch::Clock::now());
  EXPECT_THAT(log_.texts(), IsEmpty());
}

TEST_F(WorkerWatchTest, AStuckRequestIsTheEndOfIt) {
  auto watch = Watch(10s);
  AskInVain(util::WaitsFor::kNothing);
  EXPECT_TRUE(watch.Look(worker_, false));
  EXPECT_EQ(watch.due(), std::nullopt);
  EXPECT_THAT(
      log_.texts(),
      ElementsAre(HasSubstr("request read of \"/models\" takes 60 s; it makes no progress")));
  EXPECT_THAT(watch.TakeStuck(), SizeIs(1));
  EXPECT_THAT(watch.TakeStuck(), IsEmpty());
}

TEST_F(WorkerWatchTest, ASourceThatHangsIsNot) {
  auto watch = Watch(10s);
  AskInVain(util::WaitsFor::kSource);
  EXPECT_FALSE(watch.Look(worker_, true));
  EXPECT_TRUE(watch.SourceHangs(worker_));
  EXPECT_THAT(log_.texts(), ElementsAre(HasSubstr("the source does not answer")));
}

TEST_F(WorkerWatchTest, NorIsOneThatTakesNoRequestsForAMoment) {
  auto watch = Watch(10s);
  EXPECT_FALSE(watch.Look(worker_, true));
  EXPECT_FALSE(watch.Look(worker_, true));
}

TEST_F(WorkerWatchTest, OneThatTakesNoneForLongIsKilled) {
  auto watch = Watch(1ms);
  while (!watch.Look(worker_, true)) {
  }
  EXPECT_THAT(log_.texts(),
              ElementsAre("requests wait, and the worker takes none, so it is killed"));
}

}  // namespace
}  // namespace skopsfs::supervisor
