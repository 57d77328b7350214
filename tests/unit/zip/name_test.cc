#include "zip/name.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "support/errors.h"
#include "util/utf8.h"

namespace skopsfs::zip {
namespace {

TEST(DecodeName, AsciiIsTheSameEitherWay) {
  std::string ascii;
  for (char c = 0; c < 0x7f; ++c) ascii += c;
  EXPECT_EQ(DecodeName(ascii, false), ascii);
  EXPECT_EQ(DecodeName(ascii, true), ascii);
}

// bytes(range(128, 256)).decode("cp437") in Python.
TEST(DecodeName, CodePage437MapsEveryByte) {
  std::string high;
  for (int byte = 0x80; byte <= 0xff; ++byte) high += static_cast<char>(byte);
  EXPECT_EQ(DecodeName(high, false),
            "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
            "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0");
}

TEST(DecodeName, EveryByteAloneGivesUtf8) {
  for (int byte = 0; byte <= 0xff; ++byte) {
    const std::string name = DecodeName(std::string(1, static_cast<char>(byte)), false);
    EXPECT_TRUE(util::IsUtf8(name)) << byte;
    EXPECT_FALSE(name.empty()) << byte;
  }
}

TEST(DecodeName, Utf8IsTakenAsItIs) {
  EXPECT_EQ(DecodeName("gr\xc3\xb6\xc3\x9f"
                       "e",
                       true),
            "größe");
  EXPECT_EQ(DecodeName("\xc3\xb6", false), "├╢");
  EXPECT_EQ(DecodeName(std::string_view("a\0b", 3), true), std::string("a\0b", 3));
}

TEST(DecodeName, MarkedAsUtf8ButIsNot) {
  EXPECT_EQ(testing::ErrnoOf([] { DecodeName("caf\xe9", true); }), EIO);
  EXPECT_EQ(testing::ErrnoOf([] { DecodeName("\xed\xa0\x80", true); }), EIO);
}

}  // namespace
}  // namespace skopsfs::zip
