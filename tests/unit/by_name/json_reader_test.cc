#include "by_name/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "support/errors.h"

namespace skopsfs::by_name {
namespace {

using ::testing::ElementsAre;
using testing::ErrnoOf;
using Event = JsonReader::Event;

// The keys, texts and numbers of a JSON text that is given in pieces of `at_a_time` bytes.
std::vector<std::string> Texts(std::string_view json, size_t at_a_time = SIZE_MAX) {
  const ReadSchema read = [&](std::span<char> out) {
    const auto part = json.substr(0, std::min(out.size(), at_a_time));
    std::copy(part.begin(), part.end(), out.begin());
    json.remove_prefix(part.size());
    return part.size();
  };
  CodePoints input(read);
  JsonReader reader(input);
  std::vector<std::string> texts;
  while (true) {
    const Event event = reader.Next();
    if (event == Event::kDone) return texts;
    const bool has_text = event == Event::kKey || event == Event::kText || event == Event::kNumber;
    if (has_text) texts.push_back(reader.text());
  }
}

// `text`, which is ASCII, in units of `bytes` bytes.
std::string Wide(std::string_view text, size_t bytes, bool is_big) {
  std::string wide;
  for (const char c : text) {
    const std::string zeros(bytes - 1, '\0');
    wide += is_big ? zeros + c : c + zeros;
  }
  return wide;
}

TEST(JsonReader, Events) {
  EXPECT_THAT(Texts(R"( {"a": [1, "b", {}, []], "c": {"d": -2.5e+3}, "e": null} )"),
              ElementsAre("a", "1", "b", "c", "d", "-2.5e+3", "e"));
}

TEST(JsonReader, EveryPieceGivesTheSame) {
  const std::string json = "[\"\xc3\xa4\xf0\x9f\x98\x80\", \"\\ud83d\\ude00\", 12, true]";
  for (size_t size = 1; size <= json.size(); ++size) {
    EXPECT_THAT(Texts(json, size), ElementsAre("ä😀", "😀", "12")) << size;
  }
}

TEST(JsonReader, EncodingsAreToldByTheFirstBytes) {
  using std::string_literals::operator""s;
  const std::string json = R"({"a": 1})";
  for (const bool is_big : {false, true}) {
    const std::string mark16 = is_big ? "\xfe\xff" : "\xff\xfe";
    const std::string mark32 = is_big ? "\0\0\xfe\xff"s : "\xff\xfe\0\0"s;
    for (const auto& text : {Wide(json, 2, is_big), Wide(json, 4, is_big),
                             mark16 + Wide(json, 2, is_big), mark32 + Wide(json, 4, is_big)}) {
      for (const size_t piece : {1, 3, 100}) EXPECT_THAT(Texts(text, piece), ElementsAre("a", "1"));
    }
    EXPECT_THAT(Texts(Wide("7", 2, is_big)), ElementsAre("7"));
    EXPECT_EQ(ErrnoOf([&] { Texts(Wide(json, 2, is_big) + "x"); }), EIO);
  }
  EXPECT_THAT(Texts("\xef\xbb\xbf" + json), ElementsAre("a", "1"));
  EXPECT_THAT(Texts("\x3d\xd8\x00\xde"s.insert(0, Wide("[\"", 2, false)) + Wide("\"]", 2, false)),
              ElementsAre("😀"));
  EXPECT_EQ(ErrnoOf([] { Texts("\0\x11\0\0"s + Wide("1", 4, true)); }), EIO) << "no character";
}

TEST(JsonReader, SurrogatesThatStandAlone) {
  EXPECT_THAT(
      Texts(R"(["\ud83d", "\ude00\ud83d", "\ud83d\n", "\ud83d\ud83d\ude00"])"),
      ElementsAre("\xed\xa0\xbd", "\xed\xb8\x80\xed\xa0\xbd", "\xed\xa0\xbd\n", "\xed\xa0\xbd😀"));
  EXPECT_THAT(Texts("\"\xed\xa0\xbd\""), ElementsAre("\xed\xa0\xbd"));
}

TEST(JsonReader, WhatPythonTakes) {
  for (const std::string json : {"NaN", "[Infinity,-Infinity]", "1e999", "-0", "\"\x7f\"",
                                 "\t\r\n 1 ", R"("\/\b\f\n\r\t\"\\\u0000")"}) {
    EXPECT_EQ(ErrnoOf([&] { Texts(json); }), 0) << json;
  }
  const std::string digits(4300, '9');
  EXPECT_THAT(Texts("-" + digits), ElementsAre("-" + digits));
  EXPECT_EQ(ErrnoOf([&] { Texts(digits + "9.5"); }), 0);
}

TEST(JsonReader, WhatPythonRefuses) {
  for (const std::string json : {"",
                                 "[",
                                 "{",
                                 "[1,]",
                                 "{\"a\":1,}",
                                 "{\"a\" 1}",
                                 "{1:2}",
                                 "[1 2]",
                                 "[1}",
                                 "01",
                                 "1.",
                                 ".5",
                                 "1e",
                                 "-",
                                 "+1",
                                 "nul",
                                 "nan",
                                 "\"",
                                 "\"\n\"",
                                 R"("\x41")",
                                 R"("\u12")",
                                 R"("\ud83d\u12g4")",
                                 "\"\xff\"",
                                 "\"\xc0\x80\"",
                                 "\"\xe0\x80\x80\"",
                                 "\"\xf4\x90\x80\x80\"",
                                 "\"\xc3\"",
                                 "1 1",
                                 "\xef\xbb\xbf\xef\xbb\xbf 1",
                                 "'a'",
                                 "[1]//"}) {
    EXPECT_EQ(ErrnoOf([&] { Texts(json); }), EIO) << json;
  }
  EXPECT_EQ(ErrnoOf([] { Texts(std::string(4301, '1')); }), EIO);
}

TEST(JsonReader, KeepsLittleOfALongText) {
  const std::string text(10'000'000, 'x');
  const auto texts = Texts("[\"" + text + "\", " + "1." + std::string(1'000'000, '1') + "]");
  for (const auto& kept : texts) EXPECT_LE(kept.size(), JsonReader::kLongestText);
  EXPECT_EQ(ErrnoOf([&] { Texts("{\"" + text); }), EFBIG) << "before its end";
  EXPECT_EQ(Texts("{\"" + text.substr(0, 65'000) + "\": 1}").size(), 2U);
}

TEST(JsonReader, DepthIsBounded) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_EQ(ErrnoOf([&] { Texts(nested(JsonReader::kDeepest)); }), 0);
  EXPECT_EQ(ErrnoOf([&] { Texts(nested(JsonReader::kDeepest + 1)); }), EFBIG);
}

}  // namespace
}  // namespace skopsfs::by_name
