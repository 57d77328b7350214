#include "ctl/text.h"

#include <gtest/gtest.h>

#include <string>

#include "ctl/progress.h"

namespace skopsfs::ctl {
namespace {

TEST(Text, Sizes) {
  EXPECT_EQ(SizeText(0), "0 B");
  EXPECT_EQ(SizeText(1000), "1000 B");
  EXPECT_EQ(SizeText(1 << 20), "1.0 MiB");
  EXPECT_EQ(SizeText(uint64_t{3} << 29), "1536.0 MiB");
}

TEST(Text, Durations) {
  EXPECT_EQ(DurationText(59), "59 s");
  EXPECT_EQ(DurationText(185), "3 min 05 s");
  EXPECT_EQ(DurationText(2 * 3600 + 180), "2 h 03 min");
  EXPECT_EQ(DurationText(4 * 86400 + 2 * 3600), "4 d 02 h");
}

TEST(Text, NamesThatMustNotReachATerminal) {
  EXPECT_EQ(NameText("a name with spaces.skops"), "a name with spaces.skops");
  EXPECT_EQ(NameText("gr\xc3\xbc\xc3\x9f.npy"), "gr\xc3\xbc\xc3\x9f.npy");
  EXPECT_EQ(NameText("a\033[2Jb"), "\"a\\x1b[2Jb\"");
  EXPECT_EQ(NameText("a\nb"), "\"a\\x0ab\"");
  EXPECT_EQ(NameText("\xff"), "\"\\xff\"");
  EXPECT_EQ(NameText(""), "\"\"");
}

TEST(Text, LongNamesAreShownInFull) {
  std::string name;
  for (int i = 0; i < 300; ++i) name += "\xc3\xbc";
  EXPECT_EQ(NameText(name), name);
  EXPECT_EQ(NameText(std::string(1000, 'x') + "\t"), "\"" + std::string(1000, 'x') + "\\x09\"");
}

using Rows = std::vector<std::vector<std::string>>;

std::string Laid(Columns columns, const Rows& rows, std::string_view indent = "") {
  for (const auto& row : rows) columns.Measure(row);
  std::string text = columns.TitleLine(indent);
  for (const auto& row : rows) text += columns.Line(row, indent);
  return text;
}

TEST(Text, ColumnsAreAligned) {
  EXPECT_EQ(Laid(Columns({{"NAME"}, {"SIZE", true}, {"STATE"}}),
                 {{"gr\xc3\xbc\xc3\x9f", "1", "ok"}, {"longer", "1000"}}, "> "),
            "> NAME    SIZE  STATE\n"
            "> gr\xc3\xbc\xc3\x9f       1  ok\n"
            "> longer  1000\n");
}

TEST(Text, OneVeryWideCellWidensNoOther) {
  const std::string wide(Columns::kWidest + 1, 'x');
  EXPECT_EQ(Laid(Columns({{"NAME"}, {"STATE"}}), {{wide, "ok"}, {"y", "ok"}}),
            "NAME  STATE\n" + wide + "  ok\ny     ok\n");
}

TEST(ProgressLine, HowFarHowFastAndHowLong) {
  constexpr uint64_t kAll = 100 << 20;
  const Advance half{kAll / 2, kAll, 1, 4, 4, 10};
  EXPECT_EQ(ProgressLine(half, 80),
            "[##################..................]  50 %  1/4 archives  "
            "5.0 MiB/s  ETA 10 s");
  EXPECT_EQ(ProgressLine(half, 80).size(), 79);
}

TEST(ProgressLine, WhatIsNotKnownYetIsTakenToBeTheSame) {
  constexpr uint64_t kAll = 100 << 20;
  const Advance one_known_of_four{kAll / 2, kAll, 0, 1, 4, 10};
  EXPECT_NE(ProgressLine(one_known_of_four, 80).find(" 12 %"), std::string::npos);
  EXPECT_NE(ProgressLine(one_known_of_four, 80).find("ETA 1 min 10 s"), std::string::npos);
}

TEST(ProgressLine, NeverWiderThanTheTerminal) {
  const Advance advance{1, 1000, 0, 1, 1, 0.001};
  for (size_t width = 1; width < 200; ++width)
    EXPECT_LT(ProgressLine(advance, width).size(), width);
  EXPECT_NE(ProgressLine({}, 80).find("  0 %  0/0 archives"), std::string::npos);
}

}  // namespace
}  // namespace skopsfs::ctl
