#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "archive/codecs.h"
#include "support/archive_builder.h"
#include "support/errors.h"
#include "support/memory_source.h"
#include "support/samples.h"
#include "zip/format.h"

namespace skopsfs::archive {
namespace {

using ::testing::HasSubstr;

// The sample's head: version (2 bytes), size of the properties (2), lc/lp/pb (1), dictionary (4).
std::string WithHead(size_t offset, const std::string& bytes) {
  return testing::CompressedSampleLines(zip::kMethodLzma).replace(offset, bytes.size(), bytes);
}

// What the first `size` bytes decode to; fewer where the data ends.
std::string Decode(const std::string& compressed, size_t size) {
  const testing::MemorySource source(compressed);
  const auto stream = OpenLzmaStream(
      source, {.compressed_size = compressed.size(), .size = size, .method = zip::kMethodLzma});
  std::string bytes(size, '?');
  bytes.resize(stream->Read(std::as_writable_bytes(std::span(bytes))));
  return bytes;
}

std::string Failure(const std::string& compressed) {
  return testing::FailureOf([&] { Decode(compressed, 100); });
}

TEST(LzmaStream, VersionDoesNotMatter) {
  EXPECT_EQ(Decode(WithHead(0, "\x13\x04"), 12), "line 000000\n");
}

TEST(LzmaStream, DictionaryIsLimited) {
  constexpr uint32_t kMost = 64U << 20;
  EXPECT_EQ(Decode(WithHead(5, testing::LittleEndian(kMost)), 12), "line 000000\n");
  for (const uint32_t size : {kMost + 1, 1U << 30, 0xffffffffU}) {
    EXPECT_THAT(Failure(WithHead(5, testing::LittleEndian(size))),
                HasSubstr("5: its LZMA dictionary"))
        << size;
  }
}

TEST(LzmaStream, OddProperties) {
  const std::string bad = "5: cannot be decoded: bad LZMA data";
  EXPECT_EQ(Failure(WithHead(2, testing::LittleEndian<uint16_t>(4))), bad);
  EXPECT_EQ(Failure(WithHead(2, testing::LittleEndian<uint16_t>(6))), bad);
  EXPECT_EQ(Failure(WithHead(4, "\xff")), bad);  // lc, lp and pb beyond what there is
  const std::string whole = testing::CompressedSampleLines(zip::kMethodLzma);
  for (size_t size = 0; size < 9; ++size) EXPECT_EQ(Failure(whole.substr(0, size)), bad) << size;
}

TEST(LzmaStream, CutDataDecodesToLess) {
  const std::string whole = testing::CompressedSampleLines(zip::kMethodLzma);
  const std::string lines = testing::SampleLines();
  for (size_t size = 9; size < whole.size(); size += 10) {
    const std::string got = Decode(whole.substr(0, size), lines.size());
    ASSERT_LE(got.size(), lines.size());
    EXPECT_EQ(got, lines.substr(0, got.size())) << size;
  }
}

}  // namespace
}  // namespace skopsfs::archive
