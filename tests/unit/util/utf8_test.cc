#include "util/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace skopsfs::util {
namespace {

// Encodes without any check, so that what may not be encoded can be tried.
std::string Encode(uint32_t code) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((code >> shift) & 0x3f)); };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xc0 | code >> 6), tail(0)};
  if (code < 0x10000) return {static_cast<char>(0xe0 | code >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0)};
}

TEST(Utf8, TakesEveryScalarValueAndNoSurrogate) {
  for (uint32_t code = 0; code < 0x120000; ++code) {
    const bool surrogate = code >= 0xd800 && code <= 0xdfff;
    ASSERT_EQ(IsUtf8(Encode(code)), !surrogate && code <= 0x10ffff) << std::hex << code;
  }
}

TEST(Utf8, TakesMixedText) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("schema.json"));
  EXPECT_TRUE(
      IsUtf8("gr\xc3\xb6\xc3\x9f"
             "e \xe2\x82\xac \xf0\x9f\x92\xbe"));
  EXPECT_TRUE(IsUtf8(std::string_view("a\0b", 3)));
}

TEST(Utf8, RejectsEveryCutSequence) {
  for (const uint32_t code : {0xe9U, 0x20acU, 0x1f4beU}) {
    const std::string whole = Encode(code);
    for (size_t size = 1; size < whole.size(); ++size) {
      EXPECT_FALSE(IsUtf8(whole.substr(0, size))) << std::hex << code << " cut to " << size;
      EXPECT_FALSE(IsUtf8(whole.substr(0, size) + "x")) << std::hex << code << " cut to " << size;
    }
  }
}

TEST(Utf8, RejectsWhatPythonRejects) {
  const std::vector<std::string> bad = {
      "\x80",              // a continuation byte alone
      "\xbf",              //
      "\xc0\x80",          // NUL in two bytes
      "\xc1\xbf",          // not the shortest form
      "\xe0\x9f\xbf",      //
      "\xf0\x8f\xbf\xbf",  //
      "\xed\xa0\x80",      // surrogates
      "\xed\xbf\xbf",      //
      "\xf4\x90\x80\x80",  // above U+10FFFF
      "\xf5\x80\x80\x80",  //
      "\xff",              //
      "\xfe",              //
      "\xc3\xc3\xa9",      // a lead byte in place of a continuation
      "a\xe9",             // Latin-1
  };
  for (const auto& text : bad) EXPECT_FALSE(IsUtf8(text)) << ::testing::PrintToString(text);
}

TEST(Utf8, WhatIsNoneIsReplacedByteByByte) {
  EXPECT_EQ(ReplaceInvalidUtf8(""), "");
  EXPECT_EQ(ReplaceInvalidUtf8("plain \xc3\xa9"), "plain \xc3\xa9");
  EXPECT_EQ(ReplaceInvalidUtf8("caf\xe9"), "caf\xef\xbf\xbd");
  EXPECT_EQ(ReplaceInvalidUtf8("\xed\xa0\x80x"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx");
  EXPECT_EQ(ReplaceInvalidUtf8("\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(Utf8, CharactersOfEachLength) {
  std::string text;
  for (const char32_t c : {U'a', U'\x7f', U'\x80', U'\x7ff', U'\x800', U'\xffff', U'\x10000',
                           U'\x10ffff', char32_t{0xd800}}) {
    AppendUtf8(text, c);
  }
  EXPECT_EQ(text,
            "a\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"
            "\xed\xa0\x80");
}

}  // namespace
}  // namespace skopsfs::util
