#include "util/little_endian.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

namespace skopsfs::util {
namespace {

constexpr std::array<std::byte, 9> kBytes = {std::byte{0x01}, std::byte{0x02}, std::byte{0x03},
                                             std::byte{0x04}, std::byte{0x85}, std::byte{0x86},
                                             std::byte{0x87}, std::byte{0x88}, std::byte{0xff}};

TEST(LittleEndian, LowestByteComesFirst) {
  EXPECT_EQ(LoadU16(kBytes, 0), 0x0201);
  EXPECT_EQ(LoadU16(kBytes, 4), 0x8685);
  EXPECT_EQ(LoadU32(kBytes, 0), 0x04030201U);
  EXPECT_EQ(LoadU32(kBytes, 5), 0xff888786U);
  EXPECT_EQ(LoadU64(kBytes, 0), 0x8887868504030201U);
  EXPECT_EQ(LoadU64(kBytes, 1), 0xff88878685040302U);
}

TEST(LittleEndian, PastTheEndThrows) {
  EXPECT_THROW(LoadU64(kBytes, 2), std::out_of_range);
  EXPECT_THROW(LoadU32(kBytes, 6), std::out_of_range);
  EXPECT_THROW(LoadU16(kBytes, 8), std::out_of_range);
  EXPECT_THROW(LoadU16(kBytes, 9), std::out_of_range);
  EXPECT_THROW(LoadU16(kBytes, std::numeric_limits<size_t>::max()), std::out_of_range);
  EXPECT_THROW(LoadU16({}, 0), std::out_of_range);
}

}  // namespace
}  // namespace skopsfs::util
