#include "zip/sizes.h"

#include <gtest/gtest.h>

#include <string>

#include "support/archive_builder.h"
#include "support/memory_source.h"
#include "zip/format.h"

namespace skopsfs::zip {
namespace {

using testing::ArchiveBuilder;
using testing::Member;
using testing::MemorySource;

Sizes Of(const Member& member) {
  const MemorySource source(ArchiveBuilder().Add(member).Add({.name = "next"}).Build());
  const auto directory = ReadCentralDirectory(source, FindCentralDirectory(source));
  return SizesOf(directory, directory.entries.front());
}

// A member of 7 bytes that says it decodes to `size`.
Member Claim(uint16_t method, uint64_t size, uint64_t compressed_size = 7) {
  return {.name = "m",
          .method = method,
          .compressed = std::string(7, 'x'),
          .central = {.compressed_size = UINT32_MAX,
                      .size = UINT32_MAX,
                      .zip64_extra = testing::Zip64Extra({size, compressed_size})}};
}

TEST(MostDecoded, SaturatesAndNeverOverflows) {
  for (const uint16_t method :
       {kMethodStored, kMethodDeflated, kMethodBzip2, kMethodLzma, kMethodZstd, uint16_t{99}}) {
    EXPECT_EQ(MostDecoded(method, 0), 0U);
    EXPECT_EQ(MostDecoded(method, UINT64_MAX), UINT64_MAX);
    EXPECT_GE(MostDecoded(method, uint64_t{1} << 62), uint64_t{1} << 62);
  }
  EXPECT_EQ(MostDecoded(kMethodStored, 5), 5U);
  EXPECT_EQ(MostDecoded(kMethodDeflated, 7), 7224U);
}

// As good as each method gets: zeros. What its coder makes of them is within a hundredth of the
// bound (of bzip2, whose own coder is half as good as its format, within a half), and never beyond.
TEST(MostDecoded, ZerosAreWithin) {
  constexpr uint64_t kSize = uint64_t{64} << 20;
  const auto deflated = testing::Deflate(std::string(kSize, '\0'), 9).size();
  EXPECT_GE(MostDecoded(kMethodDeflated, deflated), kSize);
  EXPECT_LT(MostDecoded(kMethodDeflated, deflated), kSize + kSize / 100);
  // bzip2 -9 of 183,596,940 zeros, and a raw LZMA stream (xz -9) of 2^28 with its header.
  EXPECT_GE(MostDecoded(kMethodBzip2, 142), 183'596'940U);
  EXPECT_GE(MostDecoded(kMethodLzma, 37'941 + 9), uint64_t{1} << 28);
  EXPECT_LT(MostDecoded(kMethodLzma, 37'941 + 9), (uint64_t{1} << 28) / 100 * 101);
  // The shortest there are: deflate of one byte takes 3, bzip2 37, LZMA 9 and its header.
  EXPECT_GE(MostDecoded(kMethodDeflated, 3), 258U);
  EXPECT_GE(MostDecoded(kMethodBzip2, 37), 180'000U * 259);
  EXPECT_GE(MostDecoded(kMethodLzma, 18), 273U);
}

TEST(SizesOf, WhatIsTrueIsShown) {
  const std::string zeros(1'000'000, '\0');
  for (const uint16_t method : {kMethodStored, kMethodDeflated}) {
    const auto sizes = Of({.name = "m", .data = zeros, .method = method});
    EXPECT_EQ(sizes.shown, zeros.size());
    EXPECT_EQ(sizes.held, method == kMethodStored ? zeros.size() : testing::Deflate(zeros).size());
  }
  EXPECT_EQ(Of({.name = "empty"}).shown, 0U);
}

TEST(SizesOf, WhatCannotBeIsNot) {
  constexpr uint64_t kHuge = uint64_t{1} << 62;
  for (const uint16_t method :
       {kMethodStored, kMethodDeflated, kMethodBzip2, kMethodLzma, kMethodZstd, uint16_t{99}}) {
    const uint64_t most = MostDecoded(method, 7);
    EXPECT_EQ(Of(Claim(method, most)).shown, most) << method;
    EXPECT_EQ(Of(Claim(method, most + 1)).shown, 7U) << method;
    EXPECT_EQ(Of(Claim(method, kHuge)).shown, 7U) << method;
    EXPECT_EQ(Of(Claim(method, UINT64_MAX)).held, 7U) << method;
  }
}

// Nor are bytes held that belong to others, or to nobody.
TEST(SizesOf, NoMoreIsHeldThanThereIsRoomFor) {
  constexpr uint64_t kHuge = uint64_t{1} << 62;
  constexpr uint64_t kRoom = 1 + 7;  // its name of one byte is in the local header's room
  const auto stored = Of(Claim(kMethodStored, kHuge, kHuge));
  EXPECT_EQ(stored.held, kRoom);
  EXPECT_EQ(stored.shown, kRoom);
  EXPECT_EQ(Of(Claim(kMethodDeflated, kHuge, kHuge)).held, kRoom);
  auto before_the_file = Claim(kMethodStored, kHuge, kHuge);
  before_the_file.central.header_offset = UINT32_MAX - 1;
  EXPECT_EQ(Of(before_the_file).held, 0U);
}

}  // namespace
}  // namespace skopsfs::zip
