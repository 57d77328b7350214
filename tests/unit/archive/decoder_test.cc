#include "archive/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "support/archive_builder.h"
#include "support/errors.h"
#include "support/memory_source.h"
#include "support/samples.h"
#include "zip/format.h"

namespace skopsfs::archive {
namespace {

using testing::Crc32;
using testing::ErrnoOf;
using testing::FailureOf;
using ::testing::HasSubstr;
using testing::MemorySource;

std::string ReadSome(Decoder& decoder, uint64_t offset, size_t size) {
  std::string bytes(size, '?');
  decoder.Read(offset, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

// A decoder of `compressed`, which lies somewhere inside a larger source.
struct Sample {
  Sample(uint16_t method, const std::string& compressed, const std::string& data)
      : source(std::make_shared<MemorySource>("before" + compressed + "after")),
        extent{.offset = 6,
               .compressed_size = compressed.size(),
               .size = data.size(),
               .crc32 = Crc32(data),
               .method = method,
               .flags = static_cast<uint16_t>(method == zip::kMethodLzma ? 2 : 0)} {}

  Decoder Make() const { return {source, extent}; }

  std::shared_ptr<MemorySource> source;
  Extent extent;
};

Sample LinesIn(uint16_t method) {
  return {method, testing::CompressedSampleLines(method), testing::SampleLines()};
}

class EveryMethod : public ::testing::TestWithParam<uint16_t> {
 protected:
  const std::string lines_ = testing::SampleLines();
};

INSTANTIATE_TEST_SUITE_P(Decoder, EveryMethod,
                         ::testing::Values(zip::kMethodDeflated, zip::kMethodBzip2,
                                           zip::kMethodLzma));

TEST_P(EveryMethod, FromStartToEnd) {
  auto decoder = LinesIn(GetParam()).Make();
  EXPECT_TRUE(ReadSome(decoder, 0, lines_.size()) == lines_);
  EXPECT_TRUE(ReadSome(decoder, 0, lines_.size()) == lines_);  // from the start again
}

TEST_P(EveryMethod, InPiecesOfOddSizes) {
  auto decoder = LinesIn(GetParam()).Make();
  for (const size_t size : {1 << 16, 77777, 4096 * 31}) {
    std::string all;
    while (all.size() < lines_.size()) {
      all += ReadSome(decoder, all.size(), std::min(size, lines_.size() - all.size()));
    }
    EXPECT_TRUE(all == lines_) << size;
  }
}

TEST_P(EveryMethod, AtRandomOffsetsAndOrders) {
  auto decoder = LinesIn(GetParam()).Make();
  std::mt19937 random(GetParam());
  for (int i = 0; i < 120; ++i) {
    const size_t offset = random() % lines_.size();
    const size_t size = random() % std::min<size_t>(lines_.size() - offset, 200'000) + 1;
    ASSERT_TRUE(ReadSome(decoder, offset, size) == lines_.substr(offset, size))
        << offset << " " << size;
  }
}

TEST_P(EveryMethod, AroundTheKeptBytes) {
  auto decoder = LinesIn(GetParam()).Make();
  constexpr size_t kKept = 512 << 10;
  ReadSome(decoder, lines_.size() - 1, 1);
  for (const int delta : {-70'000, -65'537, -1, 0, 1, 65'536}) {
    const size_t offset = lines_.size() - kKept + static_cast<size_t>(delta);
    ASSERT_TRUE(ReadSome(decoder, offset, 1000) == lines_.substr(offset, 1000)) << delta;
  }
}

TEST_P(EveryMethod, FromManyThreads) {
  auto decoder = LinesIn(GetParam()).Make();
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 15; ++i) {
        const size_t offset = random() % (lines_.size() - 4096);
        if (ReadSome(decoder, offset, 4096) != lines_.substr(offset, 4096)) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_P(EveryMethod, BadCrcIsSeenAtTheEnd) {
  Sample sample = LinesIn(GetParam());
  sample.extent.crc32 ^= 1;
  auto decoder = sample.Make();
  EXPECT_EQ(ReadSome(decoder, 0, 1000), lines_.substr(0, 1000));
  for (int i = 0; i < 2; ++i) {  // it fails as often as it is tried
    EXPECT_EQ(FailureOf([&] { ReadSome(decoder, 0, lines_.size()); }), "5: bad CRC-32");
    EXPECT_EQ(FailureOf([&] { ReadSome(decoder, lines_.size() - 1, 1); }), "5: bad CRC-32");
  }
  EXPECT_EQ(ReadSome(decoder, 0, 1000), lines_.substr(0, 1000));
}

TEST_P(EveryMethod, TruncatedData) {
  for (const size_t cut : {0, 1, 20, 100}) {
    Sample sample = LinesIn(GetParam());
    sample.extent.compressed_size = sample.extent.compressed_size / 2 - cut;
    auto decoder = sample.Make();
    EXPECT_EQ(ErrnoOf([&] { ReadSome(decoder, 0, lines_.size()); }), EIO) << cut;
  }
  Sample nothing = LinesIn(GetParam());
  nothing.extent.compressed_size = 0;
  auto decoder = nothing.Make();
  EXPECT_EQ(ErrnoOf([&] { ReadSome(decoder, 0, 1); }), EIO);
}

TEST_P(EveryMethod, DamagedDataIsNeverServedWhole) {
  const std::string compressed = testing::CompressedSampleLines(GetParam());
  std::mt19937 random(3);
  for (int i = 0; i < 20; ++i) {
    std::string damaged = compressed;
    damaged[random() % (damaged.size() / 2)] ^= static_cast<char>(1 << random() % 8);
    auto decoder = Sample(GetParam(), damaged, lines_).Make();
    std::string got;
    const int code = ErrnoOf([&] { got = ReadSome(decoder, 0, lines_.size()); });
    // A bit may be of no consequence; then the bytes are right.
    EXPECT_TRUE(code == EIO || got == lines_) << i;
  }
}

TEST_P(EveryMethod, DecodesToLessThanItsSize) {
  Sample sample = LinesIn(GetParam());
  ++sample.extent.size;
  auto decoder = sample.Make();
  EXPECT_EQ(ErrnoOf([&] { ReadSome(decoder, 0, lines_.size() + 1); }), EIO);
}

// zipfile stops at the size and is content when the CRC is that of what it has read.
TEST_P(EveryMethod, DecodesToMoreThanItsSize) {
  Sample sample = LinesIn(GetParam());
  const std::string first = lines_.substr(0, 100'000);
  sample.extent.size = first.size();
  sample.extent.crc32 = Crc32(first);
  auto decoder = sample.Make();
  EXPECT_TRUE(ReadSome(decoder, 0, first.size()) == first);
}

TEST(Decoder, NoiseThatDoesNotCompress) {
  const std::string noise = testing::Noise(300'000);
  auto decoder = Sample(zip::kMethodDeflated, testing::Deflate(noise), noise).Make();
  EXPECT_TRUE(ReadSome(decoder, 0, noise.size()) == noise);
  EXPECT_TRUE(ReadSome(decoder, 123'456, 50'000) == noise.substr(123'456, 50'000));
}

TEST(Decoder, UnknownMethod) {
  auto decoder = Sample(4711, "whatever", "whatever").Make();
  EXPECT_THAT(FailureOf([&] { ReadSome(decoder, 0, 1); }), HasSubstr("5: cannot be decoded"));
}

TEST(Decoder, EmptyMember) {
  auto decoder = Sample(zip::kMethodDeflated, testing::Deflate(""), "").Make();
  EXPECT_EQ(ReadSome(decoder, 0, 0), "");
}

TEST(Decoder, ErrorOfTheSourceComesThrough) {
  class Failing : public MemorySource {
   public:
    using MemorySource::MemorySource;
    size_t ReadAt(uint64_t, std::span<std::byte>) const override {
      throw util::Error(ESTALE, "gone");
    }
  };
  const Sample sample = LinesIn(zip::kMethodDeflated);
  Decoder decoder(std::make_shared<Failing>(""), sample.extent);
  EXPECT_EQ(FailureOf([&] { ReadSome(decoder, 0, 1); }), std::to_string(ESTALE) + ": gone");
}

}  // namespace
}  // namespace skopsfs::archive
