#include "zip/extra_field.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "support/archive_builder.h"
#include "support/errors.h"

namespace skopsfs::zip {
namespace {

using testing::ErrnoOf;
using testing::ExtraField;
using testing::LittleEndian;
using testing::TimestampExtra;
using testing::Zip64Extra;

constexpr uint32_t kIn64Bits = 0xffffffff;

struct Result {
  Entry entry;
  uint64_t header_offset = 0;
};

Result Apply(const std::string& extra, Result result) {
  ApplyExtraFields(std::as_bytes(std::span(extra)), result.entry, result.header_offset);
  return result;
}

Result GivenSizes(uint64_t size, uint64_t compressed_size, uint64_t header_offset) {
  return {{.compressed_size = compressed_size, .size = size}, header_offset};
}

TEST(Zip64Extra, GivesOnlyWhatTheRecordLeavesOut) {
  // One bit a field that the record leaves to the extra field, in this order.
  for (int left_out = 0; left_out < 8; ++left_out) {
    std::vector<uint64_t> values;
    uint64_t next = 1ULL << 40;
    const auto field = [&](int bit, uint64_t other) {
      if ((left_out & bit) == 0) return other;
      values.push_back(++next);
      return uint64_t{kIn64Bits};
    };
    const uint64_t size = field(1, 11);
    const uint64_t compressed = field(2, 22);
    const uint64_t offset = field(4, 33);
    const auto result = Apply(Zip64Extra(values), GivenSizes(size, compressed, offset));
    size_t taken = 0;
    EXPECT_EQ(result.entry.size, left_out & 1 ? values.at(taken++) : 11) << left_out;
    EXPECT_EQ(result.entry.compressed_size, left_out & 2 ? values.at(taken++) : 22) << left_out;
    EXPECT_EQ(result.header_offset, left_out & 4 ? values.at(taken++) : 33) << left_out;
  }
}

TEST(Zip64Extra, NotLookedAtWhenNothingIsLeftOut) {
  const auto result = Apply(Zip64Extra({7, 8, 9}), GivenSizes(1, 2, 3));
  EXPECT_EQ(result.entry.size, 1U);
  EXPECT_EQ(result.entry.compressed_size, 2U);
  EXPECT_EQ(result.header_offset, 3U);
}

TEST(Zip64Extra, TooShortIsCorrupt) {
  EXPECT_EQ(ErrnoOf([] { Apply(Zip64Extra({}), GivenSizes(kIn64Bits, 0, 0)); }), EIO);
  EXPECT_EQ(ErrnoOf([] { Apply(Zip64Extra({1}), GivenSizes(kIn64Bits, kIn64Bits, 0)); }), EIO);
  EXPECT_EQ(ErrnoOf([] {
              Apply(Zip64Extra({1, 2}), GivenSizes(kIn64Bits, kIn64Bits, kIn64Bits));
            }),
            EIO);
  const auto seven = ExtraField(kZip64ExtraField, "1234567");
  EXPECT_EQ(ErrnoOf([&] { Apply(seven, GivenSizes(0, 0, kIn64Bits)); }), EIO);
}

// zipfile takes the placeholder for a size when there is no field to replace it.
TEST(Zip64Extra, MissingIsNoError) {
  const auto result = Apply("", GivenSizes(kIn64Bits, kIn64Bits, kIn64Bits));
  EXPECT_EQ(result.entry.size, kIn64Bits);
  EXPECT_EQ(result.header_offset, kIn64Bits);
}

TEST(Zip64Extra, EachOfSeveralIsApplied) {
  // The first leaves the size at a placeholder again, which the second replaces. zipfile accepts
  // the placeholder of 64 bits for the size only.
  const uint64_t all_ones = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(Apply(Zip64Extra({all_ones}) + Zip64Extra({5}), GivenSizes(kIn64Bits, 1, 1)).entry.size,
            5U);
  const auto result = Apply(Zip64Extra({all_ones}) + Zip64Extra({5}), GivenSizes(1, kIn64Bits, 1));
  EXPECT_EQ(result.entry.compressed_size, all_ones);
  EXPECT_EQ(Apply(Zip64Extra({6}) + Zip64Extra({5}), GivenSizes(kIn64Bits, 1, 1)).entry.size, 6U);
}

TEST(ExtraFields, UnknownOnesAreSkipped) {
  const auto extra = ExtraField(0xcafe, "whatever") + ExtraField(7, "") + Zip64Extra({99});
  EXPECT_EQ(Apply(extra, GivenSizes(kIn64Bits, 0, 0)).entry.size, 99U);
}

TEST(ExtraFields, LongerThanTheRestIsCorrupt) {
  const auto extra = LittleEndian<uint16_t>(0xcafe) + LittleEndian<uint16_t>(5) + "1234";
  EXPECT_EQ(ErrnoOf([&] { Apply(extra, GivenSizes(0, 0, 0)); }), EIO);
  EXPECT_EQ(ErrnoOf([&] { Apply(ExtraField(1, "") + extra, GivenSizes(0, 0, 0)); }), EIO);
}

TEST(ExtraFields, FewerThanFourBytesAtTheEndAreIgnored) {
  for (size_t rest = 0; rest < 4; ++rest) {
    const auto extra = Zip64Extra({99}) + std::string(rest, '\xff');
    EXPECT_EQ(Apply(extra, GivenSizes(kIn64Bits, 0, 0)).entry.size, 99U) << rest;
  }
}

TEST(Timestamp, IsTakenWhenMarkedAsPresent) {
  const auto result = Apply(TimestampExtra(1'700'000'000), {});
  EXPECT_TRUE(result.entry.has_unix_time);
  EXPECT_EQ(result.entry.modified, 1'700'000'000U);
}

// A time before 1970 cannot be told from one after 2038 but by the DOS time, which has none of the
// first. As unzip takes them.
TEST(Timestamp, BeyondHalfOfItsRange) {
  const auto with = [](uint32_t dos_time, int32_t seconds) {
    return Apply(TimestampExtra(seconds), {.entry = {.modified = dos_time}}).entry;
  };
  constexpr uint32_t kDos1980 = 0x00210000;
  constexpr uint32_t kDosJanuary17 = 0x7431bf7d;  // 2038, its last second
  constexpr uint32_t kDosJanuary18 = 0x74320000;
  for (const int32_t seconds : {-1, -5, INT32_MIN}) {
    for (const uint32_t dos_time : {uint32_t{0}, kDos1980, kDosJanuary17}) {
      EXPECT_EQ(with(dos_time, seconds).modified, dos_time);
      EXPECT_FALSE(with(dos_time, seconds).has_unix_time);
    }
    for (const uint32_t dos_time : {kDosJanuary18, UINT32_MAX}) {
      EXPECT_EQ(with(dos_time, seconds).modified, static_cast<uint32_t>(seconds));
      EXPECT_TRUE(with(dos_time, seconds).has_unix_time);
    }
  }
  EXPECT_EQ(with(UINT32_MAX, 7).modified, 7U);
  // The last of several fields counts, whether it is believed or not.
  const auto both =
      Apply(TimestampExtra(7) + TimestampExtra(-1), {.entry = {.modified = kDos1980}});
  EXPECT_EQ(both.entry.modified, kDos1980);
  EXPECT_FALSE(both.entry.has_unix_time);
}

TEST(Timestamp, OddOnesAreIgnored) {
  const auto ignored = [](const std::string& data) {
    return !Apply(ExtraField(kTimestampExtraField, data), {}).entry.has_unix_time;
  };
  EXPECT_TRUE(ignored(""));
  EXPECT_TRUE(ignored("\1"));
  EXPECT_TRUE(ignored("\1abc"));
  EXPECT_TRUE(ignored("\2abcd"));
  EXPECT_FALSE(ignored("\3abcdefgh"));
}

}  // namespace
}  // namespace skopsfs::zip
