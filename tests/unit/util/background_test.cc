#include "util/background.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include "util/unique_fd.h"

namespace skopsfs::util {
namespace {

using Serve = std::function<int(const std::function<void()>& ready)>;

// A pipe from one process to another.
class Pipe {
 public:
  Pipe() {
    std::array<int, 2> ends{-1, -1};
    EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    out_.Reset(ends[0]);
    in_.Reset(ends[1]);
  }

  void Write(const std::string& text) const {
    EXPECT_EQ(write(in_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // All that is written until every other process has closed its end.
  std::string ReadAll() {
    in_.Reset();
    std::string text;
    std::array<char, 256> buffer;
    ssize_t got = 0;
    while ((got = read(out_.get(), buffer.data(), buffer.size())) > 0) {
      text.append(buffer.data(), static_cast<size_t>(got));
    }
    return text;
  }
  void ReadOne() const {
    char byte = 0;
    EXPECT_EQ(read(out_.get(), &byte, 1), 1);
  }
  void CloseIn() { in_.Reset(); }

 private:
  util::UniqueFd in_;
  util::UniqueFd out_;
};

// Takes the child that is still running, or just ended, off the system's list.
void Reap() {
  while (waitpid(-1, nullptr, 0) > 0) {
  }
}

std::string Where(int stream) {
  return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(stream)).string();
}

TEST(RunInBackground, ReturnsTheCodeOfAChildThatEndsBeforeItIsReady) {
  for (const int code : {1, 2, 7, 255}) {
    EXPECT_EQ(RunInBackground([&](const auto&) -> int { _exit(code); }), code);
  }
  EXPECT_EQ(RunInBackground([](const auto&) { return 3; }), 3) << "returned, not ended";
}

TEST(RunInBackground, NeverReadyIsAFailure) {
  EXPECT_EQ(RunInBackground([](const auto&) -> int { _exit(0); }), EXIT_FAILURE);
  EXPECT_EQ(RunInBackground([](const auto&) -> int {
              kill(getpid(), SIGKILL);
              return 0;
            }),
            EXIT_FAILURE);
}

TEST(RunInBackground, ReturnsWhenTheChildIsReadyAndLetsItGoOn) {
  Pipe go_on;
  Pipe answer;
  const int code = RunInBackground([&](const auto& ready) -> int {
    ready();
    go_on.ReadAll();
    answer.Write("went on");
    _exit(9);  // too late to be the command's
  });
  EXPECT_EQ(code, EXIT_SUCCESS);
  go_on.CloseIn();
  EXPECT_EQ(answer.ReadAll(), "went on");
  Reap();
}

TEST(RunInBackground, BeforeItIsReadyTheChildHasTheStandardStreams) {
  const std::string before = Where(STDERR_FILENO);
  Pipe answer;
  EXPECT_EQ(RunInBackground([&](const auto&) -> int {
              answer.Write(Where(STDERR_FILENO));
              _exit(1);
            }),
            1);
  EXPECT_EQ(answer.ReadAll(), before);
}

TEST(RunInBackground, TheChildLeavesTheTerminalAndTheFolder) {
  Pipe answer;
  EXPECT_EQ(RunInBackground([&](const auto& ready) -> int {
              ready();
              std::string text = getsid(0) == getpid() ? "own session" : "old session";
              for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
                text += " " + Where(stream);
              }
              text += " " + std::filesystem::current_path().string();
              answer.Write(text);
              _exit(0);
            }),
            EXIT_SUCCESS);
  EXPECT_EQ(answer.ReadAll(), "own session /dev/null /dev/null /dev/null /");
  Reap();
}

// An automounter lets in whom it has started, and knows them by their process group.
TEST(RunInBackground, UntilItIsReadyTheChildIsInTheProcessGroupOfWhoStartedIt) {
  Pipe answer;
  EXPECT_EQ(RunInBackground([&](const auto&) -> int {
              answer.Write(std::to_string(getpgrp()));
              _exit(1);
            }),
            1);
  EXPECT_EQ(answer.ReadAll(), std::to_string(getpgrp()));
}

// Whoever started the command may have ended it (^C, a timeout) while the mount was being made.
TEST(RunInBackground, TheChildOutlivesAParentThatWasKilled) {
  Pipe started;
  Pipe parent_is_dead;
  Pipe answer;
  const pid_t parent = fork();
  ASSERT_GE(parent, 0);
  if (parent == 0) {
    RunInBackground([&](const auto& ready) -> int {
      started.Write("x");
      parent_is_dead.ReadAll();
      ready();
      answer.Write("alive");
      _exit(0);
    });
    _exit(0);
  }
  started.ReadOne();
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  parent_is_dead.CloseIn();
  EXPECT_EQ(answer.ReadAll(), "alive");
}

}  // namespace
}  // namespace skopsfs::util
