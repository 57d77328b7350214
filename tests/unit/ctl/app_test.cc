#include "ctl/app.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

namespace skopsfs::ctl {
namespace {

// Parses; the exit code of the parser.
int Parse(Request& request, std::vector<std::string> arguments) {
  const auto app = MakeApp(request);
  std::reverse(arguments.begin(), arguments.end());
  try {
    app->parse(arguments);
    return 0;
  } catch (const CLI::ParseError& error) {
    return error.get_exit_code();
  }
}

TEST(App, Check) {
  Request request;
  ASSERT_EQ(Parse(request, {"check", "--json", "-j", "3", "a", "b"}), 0);
  EXPECT_EQ(request.check.paths, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(request.check.threads, 3);
  EXPECT_TRUE(request.check.json);
  EXPECT_NE(Parse(request, {"check"}), 0);
  EXPECT_NE(Parse(request, {"check", "-j", "0", "a"}), 0);
  EXPECT_NE(Parse(request, {"check", "--wrong", "a"}), 0);
}

TEST(App, WatchNeedsNoValueAndTakesNoWordAfterIt) {
  Request request;
  ASSERT_EQ(Parse(request, {"status", "--watch", "/mnt"}), 0);
  EXPECT_EQ(request.watch, "true");
  EXPECT_EQ(request.status.mountpoint, "/mnt");
  Request other;
  ASSERT_EQ(Parse(other, {"status", "--watch=0.5"}), 0);
  EXPECT_EQ(other.watch, "0.5");
  EXPECT_EQ(other.status.mountpoint, "");
}

TEST(App, ExitCodes) {
  EXPECT_EQ(ctl::Run({}), kExitNotDone);
  EXPECT_EQ(ctl::Run({"nonsense"}), kExitNotDone);
  EXPECT_EQ(ctl::Run({"--help"}), kExitGood);
  EXPECT_EQ(ctl::Run({"check", "--help"}), kExitGood);
  EXPECT_EQ(ctl::Run({"--version"}), kExitGood);
  EXPECT_EQ(ctl::Run({"status", "--watch=never"}), kExitNotDone);
  EXPECT_EQ(ctl::Run({"status", "/no/such/mountpoint"}), kExitNotDone);
  EXPECT_EQ(ctl::Run({"tree", "/no/such/archive"}), kExitNotDone);
  EXPECT_EQ(ctl::Run({"check", "/no/such/archive"}), kExitNotDone);
  EXPECT_EQ(ctl::Run({"warm", "/"}), kExitNotDone);
}

}  // namespace
}  // namespace skopsfs::ctl
