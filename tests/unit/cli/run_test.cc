#include "cli/run.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "support/archive_files.h"
#include "support/temp_folder.h"

namespace skopsfs::cli {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::internal::CaptureStderr;
using ::testing::internal::CaptureStdout;
using ::testing::internal::GetCapturedStderr;
using ::testing::internal::GetCapturedStdout;

struct Result {
  int code;
  std::string out;
  std::string err;
};

// What the program does with these arguments. Never with ones that could be mounted.
Result RunWith(const std::vector<std::string>& arguments) {
  std::vector<const char*> words;
  for (const auto& argument : arguments) words.push_back(argument.c_str());
  CaptureStdout();
  CaptureStderr();
  const int code = Run(words);
  return {code, GetCapturedStdout(), GetCapturedStderr()};
}

void ExpectOneLine(const std::string& text) {
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  EXPECT_THAT(text, EndsWith("\n"));
  EXPECT_THAT(text, ::testing::StartsWith("skopsfs: "));
}

class RunTest : public ::testing::Test {
 protected:
  RunTest() {
    std::filesystem::create_directories(folder_ / "source/inside");
    std::filesystem::create_directories(folder_ / "mountpoint");
    testing::WriteFile(folder_ / "source/a.skops", testing::ArchiveOf("a"));
  }
  ~RunTest() override { setrlimit(RLIMIT_NOFILE, &limit_before_); }

  // Both in front and in the background: exit code 1, nothing on stdout, one line on stderr.
  static void ExpectFailure(const std::string& source, const std::string& mountpoint,
                            const std::string& reason) {
    for (const bool in_front : {true, false}) {
      SCOPED_TRACE(reason + (in_front ? " in front" : " in the background"));
      std::vector<std::string> arguments = {source, mountpoint};
      if (in_front) arguments.insert(arguments.begin(), "-f");
      const auto result = RunWith(arguments);
      EXPECT_EQ(result.code, kExitFailure);
      EXPECT_EQ(result.out, "");
      ExpectOneLine(result.err);
      EXPECT_THAT(result.err, HasSubstr(reason));
    }
  }

  const testing::TempFolder folder_;
  rlimit limit_before_ = [] {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit;
  }();
};

TEST_F(RunTest, UsageErrors) {
  const std::vector<std::vector<std::string>> lines = {{},
                                                       {"only-one"},
                                                       {"a", "b", "c"},
                                                       {"--nothing", "a", "b"},
                                                       {"-o", "nothing", "a", "b"},
                                                       {"--revalidate=soon", "a", "b"}};
  for (const auto& line : lines) {
    const auto result = RunWith(line);
    EXPECT_EQ(result.code, kExitUsage);
    EXPECT_EQ(result.out, "");
    ExpectOneLine(result.err);
    EXPECT_THAT(result.err, HasSubstr("--help"));
  }
}

TEST_F(RunTest, Help) {
  for (const auto* word : {"-h", "--help"}) {
    const auto result = RunWith({word});
    EXPECT_EQ(result.code, EXIT_SUCCESS);
    EXPECT_THAT(result.out, ::testing::StartsWith("usage: skopsfs "));
    EXPECT_EQ(result.err, "");
  }
}

TEST_F(RunTest, Version) {
  for (const auto* word : {"-V", "--version"}) {
    const auto result = RunWith({word});
    EXPECT_EQ(result.code, EXIT_SUCCESS);
    EXPECT_THAT(result.out,
                ::testing::ContainsRegex("^skopsfs [0-9.]+\nlibfuse 3[0-9.]+\nlibzip [0-9.]+\n"
                                         "ISA-L [0-9.]+\nLinux [0-9.]+[^\n]*\n  /dev/fuse "));
    for (const auto* feature :
         {"NOTIFY_RESEND", "Landlock", "cachestat", "DIOALIGN", "passthrough"}) {
      EXPECT_THAT(result.out, HasSubstr(feature));
    }
    EXPECT_EQ(result.err, "");
  }
}

TEST_F(RunTest, SourceThatCannotBeUsed) {
  const std::string mountpoint = folder_ / "mountpoint";
  ExpectFailure(folder_ / "nowhere", mountpoint, "nowhere\": No such file or directory");
  ExpectFailure("/dev/null", mountpoint, "is neither a folder nor an archive");
}

TEST_F(RunTest, MountpointThatCannotBeUsed) {
  const std::string source = folder_ / "source";
  ExpectFailure(source, folder_ / "nowhere", "nowhere\": No such file or directory");
  ExpectFailure(source, folder_ / "source/a.skops", "is not a folder");
  ExpectFailure(folder_ / "source/a.skops", folder_ / "nowhere", "No such file or directory");
}

TEST_F(RunTest, MountpointInsideTheSource) {
  ExpectFailure(folder_ / "source", folder_ / "source/inside", "lies inside the source");
  ExpectFailure(folder_ / "source/", folder_ / "source/../source/inside", "lies inside");
}

// By whatever way the source was named. The mount option is one that no kernel takes, so that
// nothing is mounted even where this is not seen.
TEST_F(RunTest, MountpointInsideASourceThatIsALink) {
  std::filesystem::create_directory_symlink("source", folder_ / "link");
  for (const auto* mountpoint : {"source/inside", "link/inside"}) {
    const auto result = RunWith({"-o", "context=nonsense", folder_ / "link", folder_ / mountpoint});
    EXPECT_EQ(result.code, kExitFailure);
    EXPECT_THAT(result.err, HasSubstr("lies inside the source")) << mountpoint;
  }
}

// With a mount option that no kernel takes, likewise.
TEST_F(RunTest, AWordThatIsOldIsToldOnce) {
  const auto told = [&](const std::string& option) {
    return RunWith({option, "-o", "context=nonsense", folder_ / "source", folder_ / "mountpoint"})
        .err;
  };
  EXPECT_THAT(told("--verify=open"), HasSubstr("--verify=open is now called --verify=read"));
  EXPECT_THAT(told("--verify=read"), Not(HasSubstr("now called")));
}

}  // namespace
}  // namespace skopsfs::cli
