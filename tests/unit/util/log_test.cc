#include "util/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "support/log_capture.h"

namespace skopsfs::util {
namespace {

using ::testing::ElementsAre;
using testing::LogCapture;
using ::testing::SizeIs;

TEST(Log, FormatsWithItsLevel) {
  const LogCapture log;
  LogError("{} of {}", 1, "three");
  LogWarning("second");
  LogInfo("{:02x}", 10);
  const auto lines = log.lines();
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_EQ(lines[0].level, LogLevel::kError);
  EXPECT_EQ(lines[0].text, "1 of three");
  EXPECT_EQ(lines[1].level, LogLevel::kWarning);
  EXPECT_EQ(lines[2].level, LogLevel::kInfo);
  EXPECT_EQ(lines[2].text, "0a");
}

TEST(Log, SameLineFiveTimesAMinute) {
  const LogCapture log;
  for (int i = 0; i < 1000; ++i) LogError("the same");
  EXPECT_THAT(log.texts(), ElementsAre("the same", "the same", "the same", "the same", "the same"));
}

// Strangers choose the names in the lines, so there is a bound to different ones too.
TEST(Log, DifferentLinesHaveABoundTogether) {
  const LogCapture log;
  for (int i = 0; i < 3000; ++i) LogInfo("line {}", i);
  EXPECT_THAT(log.texts(), SizeIs(512 + 1));  // and one that says so
}

TEST(Log, WorkerHasABudgetOfItsOwn) {
  const LogCapture log;
  for (int i = 0; i < 3000; ++i) {
    WriteLog(LogLevel::kInfo, fmt::format("line {}", i), LogOrigin::kWorker);
  }
  EXPECT_THAT(log.texts(), SizeIs(2048 + 1));
  LogError("of this process");
  EXPECT_EQ(log.texts().back(), "of this process");
}

TEST(Log, ThreadsLoseNoLine) {
  const LogCapture log;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 50; ++i) LogInfo("thread {} line {}", t, i);
    });
  }
  for (auto& thread : threads) thread.join();
  auto lines = log.texts();
  EXPECT_THAT(lines, SizeIs(8 * 50));
  std::sort(lines.begin(), lines.end());
  EXPECT_EQ(std::unique(lines.begin(), lines.end()), lines.end());
}

TEST(Log, GoesToStderrAsOneLine) {
  ::testing::internal::CaptureStderr();
  LogError("to stderr");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "skopsfs: to stderr\n");
}

// Also what was not quoted, as all that a worker says.
TEST(Log, NothingThatATerminalActsOn) {
  const LogCapture log;
  LogError("{}",
           "a\n\x1b[2Jb\xc2\x9b"
           "c\x9b"
           "d\xe2\x80\xae"
           "e\xc3\xa9\xff");
  EXPECT_THAT(log.texts(), ElementsAre("a??[2Jb?c\xef\xbf\xbd"
                                       "d?e\xc3\xa9\xef\xbf\xbd"));
}

TEST(Log, LinesThatNobodyTakesAreCounted) {
  bool taken = false;
  std::vector<std::string> lines;
  SetLogSink([&](LogLevel, const std::string& line) {
    if (taken) lines.push_back(line);
    return taken;
  });
  LogInfo("lost");
  LogInfo("lost, too");
  TellLeftOutLines();
  taken = true;
  LogInfo("first");
  EXPECT_THAT(lines, ElementsAre("2 lines before this one were lost: nobody read them", "first"));
  taken = false;
  LogInfo("lost once more");
  taken = true;
  TellLeftOutLines();
  SetLogSink(nullptr);
  EXPECT_THAT(lines, ElementsAre("2 lines before this one were lost: nobody read them", "first",
                                 "1 lines before this one were lost: nobody read them"));
}

TEST(Quoted, PlainTextInQuotes) {
  EXPECT_EQ(Quoted(""), R"("")");
  EXPECT_EQ(Quoted("a b.npy"), R"("a b.npy")");
  EXPECT_EQ(Quoted("\xc3\xa9t\xc3\xa9"), "\"\xc3\xa9t\xc3\xa9\"");
}

TEST(Quoted, EscapesWhatWouldBreakTheLine) {
  EXPECT_EQ(Quoted("a\nb"), R"("a\x0ab")");
  EXPECT_EQ(Quoted(std::string_view("a\0b\x1b[31m\x7f", 9)), R"("a\x00b\x1b[31m\x7f")");
  EXPECT_EQ(Quoted(R"(say "x\y")"), R"("say \"x\\y\"")");
}

TEST(Quoted, EscapesInvalidUtf8) { EXPECT_EQ(Quoted("caf\xe9"), R"("caf\xe9")"); }

// U+0080 to U+009F: terminals act on some of them (U+009B begins an escape sequence).
TEST(Quoted, EscapesControlCharactersOfTwoBytes) {
  EXPECT_EQ(Quoted("a\xc2\x9b"
                   "31m"),
            R"("a\xc2\x9b31m")");
  EXPECT_EQ(Quoted("a\xc2\x85"
                   "b"),
            R"("a\xc2\x85b")");
  EXPECT_EQ(Quoted("\xc2\xa0"), "\"\xc2\xa0\"");
}

TEST(Quoted, CutsLongText) {
  EXPECT_EQ(Quoted(std::string(200, 'x')), '"' + std::string(200, 'x') + '"');
  EXPECT_EQ(Quoted(std::string(201, 'x')), '"' + std::string(200, 'x') + "\"...");
  // The cut may go through a character: then no byte of it may be written raw.
  const std::string cut = Quoted(std::string(199, 'x') + "\xc3\xa9");
  EXPECT_EQ(cut, '"' + std::string(199, 'x') + "\\xc3\"...");
}

}  // namespace
}  // namespace skopsfs::util
