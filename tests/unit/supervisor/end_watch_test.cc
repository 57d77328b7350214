#include "supervisor/end_watch.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <thread>

namespace skopsfs::supervisor {
namespace {

// A child that does nothing, in a process of its own.
class EndWatchTest : public ::testing::Test {
 protected:
  EndWatchTest() : child_(fork()) {
    if (child_ != 0) return;
    while (true) pause();
  }
  ~EndWatchTest() override {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }

  void WaitUntilItCanBeReaped() const {
    siginfo_t info{};
    waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOWAIT);
  }

  const pid_t child_;
};

TEST_F(EndWatchTest, OneThatWaits) { EXPECT_FALSE(RunsNoMore(child_)); }

TEST_F(EndWatchTest, OneThatWasStopped) {
  kill(child_, SIGSTOP);
  waitpid(child_, nullptr, WUNTRACED);
  EXPECT_FALSE(RunsNoMore(child_));
}

TEST_F(EndWatchTest, OneThatIsDead) {
  kill(child_, SIGKILL);
  WaitUntilItCanBeReaped();
  EXPECT_TRUE(RunsNoMore(child_));
}

TEST_F(EndWatchTest, OneThatIsNotThere) {
  constexpr pid_t kNobody = 1 << 30;  // more than there may be
  EXPECT_FALSE(RunsNoMore(kNobody));
}

// As a thread's that ends between the two.
TEST(StateOfTest, FileThatCanBeOpenedButNotRead) {
  const std::filesystem::path folder = testing::TempDir() + "state_of_test";
  std::filesystem::create_directories(folder / "stat");
  EXPECT_EQ(StateOf(folder).letter, '?');
  std::filesystem::remove_all(folder);
}

TEST_F(EndWatchTest, ItIsGivenTimeToBeReaped) {
  EndWatch watch(child_);
  EXPECT_LE(watch.look_at(), EndWatch::Clock::now());
  EXPECT_FALSE(watch.Look());
  EXPECT_GT(watch.look_at(), EndWatch::Clock::now());
  kill(child_, SIGKILL);
  WaitUntilItCanBeReaped();
  EXPECT_FALSE(watch.Look()) << "nobody knew that it ends";
  std::this_thread::sleep_until(watch.look_at());
  EXPECT_TRUE(watch.Look());
}

}  // namespace
}  // namespace skopsfs::supervisor
