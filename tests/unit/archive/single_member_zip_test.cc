#include "archive/single_member_zip.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "support/memory_source.h"
#include "support/open_archive.h"
#include "support/samples.h"
#include "zip/central_directory.h"
#include "zip/format.h"
#include "zip/local_header.h"

namespace skopsfs::archive {
namespace {

using testing::MemorySource;
using testing::ReadSome;

TEST(SingleMemberZip, IsAnArchiveOfThatMember) {
  const MemorySource source("before" + testing::Noise(500) + "after");
  const Extent extent{.offset = 6,
                      .compressed_size = 500,
                      .size = 777,
                      .crc32 = 0x12345678,
                      .method = zip::kMethodLzma,
                      .flags = 0x080b};
  const SingleMemberZip zip(source, extent);
  const auto directory = zip::ReadCentralDirectory(zip, zip::FindCentralDirectory(zip));
  ASSERT_EQ(directory.entries.size(), 1U);
  const auto& entry = directory.entries[0];
  EXPECT_EQ(entry.size, 777U);
  EXPECT_EQ(entry.compressed_size, 500U);
  EXPECT_EQ(entry.crc32, 0x12345678U);
  EXPECT_EQ(entry.method, zip::kMethodLzma);
  EXPECT_EQ(entry.flags, 2);  // encryption, descriptor and name are the archive's, not the data's
  const auto data = zip::LocateData(zip, directory, entry);
  EXPECT_EQ(ReadSome(zip, data, 500), testing::Noise(500));
}

TEST(SingleMemberZip, AnyPieceIsAPieceOfTheWhole) {
  const MemorySource source(testing::Noise(300));
  const SingleMemberZip zip(source, {.offset = 100, .compressed_size = 120, .size = 1});
  const std::string whole = ReadSome(zip, 0, 10'000);
  ASSERT_EQ(whole.size(), zip.size());
  for (size_t offset = 0; offset <= whole.size() + 1; ++offset) {
    for (const size_t size : {0, 1, 50, 130, 1000}) {
      const auto expected = offset < whole.size() ? whole.substr(offset, size) : "";
      ASSERT_EQ(ReadSome(zip, offset, size), expected) << offset << " " << size;
    }
  }
}

TEST(SingleMemberZip, WithoutDataAndWithTooMuch) {
  const MemorySource source("");
  const SingleMemberZip empty(source, {});
  EXPECT_EQ(ReadSome(empty, 0, 10'000).size(), empty.size());
  const SingleMemberZip huge(source, {.compressed_size = uint64_t{1} << 40, .size = 1});
  EXPECT_GT(huge.size(), uint64_t{1} << 40);
  EXPECT_EQ(zip::FindCentralDirectory(huge).size, 46 + 1 + 20U);
}

}  // namespace
}  // namespace skopsfs::archive
