#include "util/number.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

namespace skopsfs::util {
namespace {

TEST(ParseNumber, AllOfTheText) {
  EXPECT_EQ(ParseNumber<int>("7"), 7);
  EXPECT_EQ(ParseNumber<int>("007"), 7);
  for (const auto* const text : {"", " ", " 7", "7 ", "7x", "x", "+7", "-", "0x7", "7.0"}) {
    EXPECT_EQ(ParseNumber<int>(text), std::nullopt) << text;
  }
  EXPECT_EQ(ParseNumber<int>(std::string_view("7\0", 2)), std::nullopt);
}

TEST(ParseNumber, WhatFitsItsType) {
  EXPECT_EQ(ParseNumber<uint64_t>("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(ParseNumber<uint64_t>("18446744073709551616"), std::nullopt);
  EXPECT_EQ(ParseNumber<uint16_t>("65536"), std::nullopt);
  EXPECT_EQ(ParseNumber<int>("-7"), -7);
  EXPECT_EQ(ParseNumber<unsigned>("-7"), std::nullopt);
}

TEST(ParseNumber, InABase) {
  EXPECT_EQ(ParseNumber<unsigned>("fF", 16), 255);
  EXPECT_EQ(ParseNumber<unsigned>("040", 8), 32);
  EXPECT_EQ(ParseNumber<unsigned>("8", 8), std::nullopt);
}

TEST(ParseNumber, WithAFraction) {
  EXPECT_EQ(ParseNumber<double>("0.5"), 0.5);
  EXPECT_EQ(ParseNumber<double>("1e3"), 1000);
  EXPECT_TRUE(std::isnan(ParseNumber<double>("nan").value())) << "callers compare so that it fails";
  EXPECT_EQ(ParseNumber<double>("1e999"), std::nullopt);
}

}  // namespace
}  // namespace skopsfs::util
