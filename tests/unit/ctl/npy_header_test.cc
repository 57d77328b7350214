#include "ctl/npy_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "support/archive_builder.h"
#include "support/errors.h"
#include "support/samples.h"
#include "support/temp_folder.h"

namespace skopsfs::ctl {
namespace {

using ::testing::ElementsAre;
using testing::FailureOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::LittleEndian;

NpyHeader Parse(const std::string& bytes, uint64_t more = 0) {
  return ParseNpyHeader(std::as_bytes(std::span(bytes)), bytes.size() + more);
}

std::string Header(const std::string& text, char major = 1) {
  std::string bytes = "\x93NUMPY";
  bytes += major;
  bytes += '\0';
  bytes += major == 1 ? LittleEndian(static_cast<uint16_t>(text.size()))
                      : LittleEndian(static_cast<uint32_t>(text.size()));
  return bytes + text;
}

std::string Dictionary(const std::string& descr, const std::string& order = "False",
                       const std::string& shape = "(3, 4)") {
  return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

std::string TypeOf(const std::string& descr) { return Parse(Header(Dictionary(descr))).dtype; }

std::string WhyNot(const std::string& text, char major = 1) {
  return FailureOf([&] { Parse(Header(text, major)); });
}

TEST(NpyHeader, AsNumPyWritesIt) {
  const std::string text = Dictionary("'<f8'");
  const auto header = Parse(Header(text + std::string(128 - 10 - text.size() - 1, ' ') + "\n"), 96);
  EXPECT_EQ(header.dtype, "float64");
  EXPECT_THAT(header.shape, ElementsAre(3, 4));
  EXPECT_FALSE(header.fortran_order);
  EXPECT_EQ(header.data_offset, 128);
  EXPECT_TRUE(header.is_aligned());
}

TEST(NpyHeader, AllVersions) {
  const std::string text = Dictionary("'<i4'", "True", "(7,)");
  for (const char major : {'\1', '\2', '\3'}) {
    const auto header = Parse(Header(text, major));
    EXPECT_EQ(header.dtype, "int32");
    EXPECT_TRUE(header.fortran_order);
    EXPECT_EQ(header.data_offset, (major == 1 ? 10 : 12) + text.size());
    EXPECT_FALSE(header.is_aligned());
  }
  EXPECT_THAT(WhyNot(text, 4), HasSubstr("version 4.0 is not known"));
}

TEST(NpyHeader, TypesAsNumPyPrintsThem) {
  EXPECT_EQ(TypeOf("'|b1'"), "bool");
  EXPECT_EQ(TypeOf("'|u1'"), "uint8");
  EXPECT_EQ(TypeOf("'<f2'"), "float16");
  EXPECT_EQ(TypeOf("'<c16'"), "complex128");
  EXPECT_EQ(TypeOf("'>f4'"), ">f4");
  EXPECT_EQ(TypeOf("'<U10'"), "<U10");
  EXPECT_EQ(TypeOf("'|S5'"), "|S5");
  EXPECT_EQ(TypeOf("'|O'"), "object");
  EXPECT_EQ(TypeOf("'<M8[ns]'"), "datetime64[ns]");
  EXPECT_EQ(TypeOf("'<m8[s]'"), "timedelta64[s]");
  EXPECT_EQ(TypeOf("[('x', '<f8'), (\"it's\",  '<i4', (2,))]"),
            "[('x', '<f8'), (\"it's\", '<i4', (2,))]");
}

TEST(NpyHeader, Shapes) {
  const auto shape_of = [](const std::string& shape) {
    return Parse(Header(Dictionary("'<f8'", "False", shape))).shape;
  };
  EXPECT_THAT(shape_of("()"), IsEmpty());
  EXPECT_THAT(shape_of("(5L, 0)"), ElementsAre(5, 0));
  EXPECT_EQ(ShapeText({}), "()");
  EXPECT_EQ(ShapeText({5}), "(5,)");
  EXPECT_EQ(ShapeText({5, 6}), "(5, 6)");
}

TEST(NpyHeader, NamesOfFieldsInOtherScripts) {
  EXPECT_EQ(Parse(Header(Dictionary("[('\xe9', '<f8')]"))).dtype, "[('\xc3\xa9', '<f8')]");
  EXPECT_EQ(Parse(Header(Dictionary("[('\xc3\xa9', '<f8')]"), 3)).dtype, "[('\xc3\xa9', '<f8')]");
  EXPECT_THAT(WhyNot(Dictionary("[('\xe9', '<f8')]"), 3), HasSubstr("not UTF-8"));
}

TEST(NpyHeader, WhatIsNone) {
  EXPECT_THAT(FailureOf([] { Parse(""); }), HasSubstr("does not begin as one"));
  EXPECT_THAT(FailureOf([] { Parse("\x93NUMPY"); }), HasSubstr("does not begin as one"));
  EXPECT_THAT(FailureOf([] { Parse(std::string("\x93NUMPY\1\0\5", 9)); }), HasSubstr("cut off"));
  EXPECT_THAT(FailureOf([] { Parse(Header("{}").substr(0, 11)); }),
              HasSubstr("longer than the file"));
  EXPECT_THAT(WhyNot("{}"), HasSubstr("is missing"));
  EXPECT_THAT(WhyNot(Dictionary("'<f8'") + "+1"), HasSubstr("more behind"));
  EXPECT_THAT(WhyNot(Dictionary("__import__('os')")), HasSubstr("a value in it"));
  EXPECT_THAT(WhyNot("{'descr': '<f8, "), HasSubstr("does not end"));
  EXPECT_THAT(WhyNot(Dictionary("'<f8'", "0")), HasSubstr("neither True nor False"));
  EXPECT_THAT(WhyNot(Dictionary("'<f8'", "False", "(-1,)")), HasSubstr("a value in it"));
  EXPECT_THAT(WhyNot(Dictionary("'<f8'", "False", "(3)")), HasSubstr("not a tuple"));
  EXPECT_THAT(WhyNot(Dictionary("'<f8'", "False", "[3]")), HasSubstr("its shape is none"));
  EXPECT_THAT(WhyNot(Dictionary("'<f8', 'descr': '<f4'")), HasSubstr("twice"));
  EXPECT_THAT(WhyNot(Dictionary("'<f8', 'more': 1")), HasSubstr("unknown"));
  EXPECT_THAT(WhyNot(Dictionary("None")), HasSubstr("its type is none"));
}

TEST(NpyHeader, ClaimsBeyondAllBounds) {
  EXPECT_THAT(WhyNot(Dictionary("'<f8'", "False", "(4294967296, 4294967296)")),
              HasSubstr("too large"));
  EXPECT_THAT(WhyNot(Dictionary("'<f8'", "False", "(99999999999999999999,)")),
              HasSubstr("too large"));
  std::string many = "(";
  for (int i = 0; i < 65; ++i) many += "1, ";
  EXPECT_THAT(WhyNot(Dictionary("'<f8'", "False", many + ")")), HasSubstr("64 dimensions"));
  EXPECT_THAT(WhyNot(Dictionary(std::string(60'000, '['))), HasSubstr("nested too deeply"));
  const std::string huge = Header(std::string(70'000, ' '), 2);
  EXPECT_THAT(FailureOf([&] { Parse(huge); }), HasSubstr("more than are read"));
  // Only the front of a file is at hand.
  EXPECT_THAT(FailureOf([&] { Parse(huge.substr(0, 1000), 1 << 20); }),
              HasSubstr("more than are read"));
}

}  // namespace
}  // namespace skopsfs::ctl
