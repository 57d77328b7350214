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

// A member of 40 MiB, and how much of its deflated data is read: that is what is decoded.
class LargeMember : public ::testing::Test {
 protected:
  class Counting : public MemorySource {
   public:
    using MemorySource::MemorySource;
    size_t ReadAt(uint64_t offset, std::span<std::byte> out) const override {
      const size_t got = MemorySource::ReadAt(offset, out);
      bytes += got;
      return got;
    }
    mutable std::atomic<uint64_t> bytes = 0;
  };

  static const std::string& Data() {
    static const std::string data = testing::Numbers(size_t{40} << 20);
    return data;
  }
  static const std::string& Deflated() {
    static const std::string deflated = testing::Deflate(Data(), 1);
    return deflated;
  }
  static Extent ExtentOf(const std::string& deflated) {
    return {.offset = 0,
            .compressed_size = deflated.size(),
            .size = Data().size(),
            .crc32 = Crc32(Data()),
            .method = zip::kMethodDeflated};
  }

  void ExpectRead(uint64_t offset, size_t size) {
    ASSERT_TRUE(ReadSome(decoder_, offset, size) == Data().substr(offset, size)) << offset;
  }
  void ReadInOrder(uint64_t from = 0, uint64_t to = Data().size()) {
    for (uint64_t at = from; at < to; at += kMiB) ExpectRead(at, kMiB);
  }
  // MiB that have been decoded since the last call, but for how far a stream reads ahead.
  double Decoded() {
    const auto bytes = static_cast<double>(source_->bytes.exchange(0));
    return bytes / static_cast<double>(Deflated().size()) * static_cast<double>(Data().size()) /
           static_cast<double>(kMiB);
  }

  static constexpr size_t kMiB = size_t{1} << 20;
  const std::shared_ptr<Counting> source_ = std::make_shared<Counting>(Deflated());
  Decoder decoder_{source_, ExtentOf(Deflated())};
};

TEST_F(LargeMember, InOrderIsDecodedOnce) {
  ReadInOrder();
  EXPECT_NEAR(Decoded(), 40, 0.1);
}

TEST_F(LargeMember, OutOfOrderByLittleIsDecodedOnce) {
  for (uint64_t at = 0; at < 40 * kMiB; at += 8 * kMiB) {
    for (const uint64_t next : {2, 7, 0, 3, 1, 6, 4, 5}) ExpectRead(at + next * kMiB, kMiB);
  }
  EXPECT_NEAR(Decoded(), 40, 0.1);
}

// A request that is held up while others run ahead of it, by twice what the kernel reads ahead at a
// time.
TEST_F(LargeMember, OneThatIsHeldUpIsStillInTime) {
  for (uint64_t at = 0; at < 39; at += 13) {
    for (uint64_t next = 1; next < 13; ++next) ExpectRead((at + next) * kMiB, kMiB);
    ExpectRead(at * kMiB, kMiB);
  }
  ReadInOrder(39 * kMiB);
  EXPECT_NEAR(Decoded(), 40, 0.1);
}

// What went straight into the answers is not kept, and what is at their ends is.
TEST_F(LargeMember, InOrderInPiecesThatAreNoChunksIsDecodedOnce) {
  constexpr size_t kPiece = kMiB - 5000;
  uint64_t at = 0;
  for (; at + kPiece < Data().size(); at += kPiece) ExpectRead(at, kPiece);
  ExpectRead(at, Data().size() - at);
  EXPECT_NEAR(Decoded(), 40, 0.1);
}

TEST_F(LargeMember, WhatWentIntoAnAnswerCanBeAskedForAgain) {
  for (uint64_t at = 0; at < 39 * kMiB; at += 3 * kMiB) {
    ExpectRead(at, 3 * kMiB);
    ExpectRead(at + kMiB, 3000);
    ExpectRead(at, 3 * kMiB);
  }
}

TEST_F(LargeMember, AnyPageWaitsForOneSpanAtMost) {
  ReadInOrder();
  Decoded();
  std::mt19937 random(1);
  for (int i = 0; i < 40; ++i) {
    ExpectRead(random() % (Data().size() - 4096), 4096);
    EXPECT_LE(Decoded(), 8.6);
  }
}

TEST_F(LargeMember, FarAheadAtOnceIsDecodedFromTheStart) {
  ExpectRead(39 * kMiB, 4096);
  EXPECT_NEAR(Decoded(), 39.5, 0.6);
  ExpectRead(17 * kMiB, 4096);
  EXPECT_NEAR(Decoded(), 1.5, 0.7);
}

TEST_F(LargeMember, CheckpointsAheadSaveTheWay) {
  ReadInOrder();
  ExpectRead(0, 4096);
  Decoded();
  ExpectRead(33 * kMiB, 4096);
  EXPECT_NEAR(Decoded(), 1.5, 0.7);
}

// A reader in order, and others who jump.
TEST_F(LargeMember, WhoReadsInOrderGoesOnWhereItWas) {
  ReadInOrder();
  Decoded();
  double jumps = 0;
  for (uint64_t at = 0; at < 30 * kMiB; at += kMiB) {
    ExpectRead(at, kMiB);
    const double before = Decoded();
    EXPECT_LE(before, 1.6) << at;
    ExpectRead(32 * kMiB + at / 8, 4096);
    jumps += Decoded();
  }
  EXPECT_GT(jumps, 0);
}

TEST_F(LargeMember, TheCrcIsComparedHoweverTheEndIsReached) {
  Extent extent = ExtentOf(Deflated());
  extent.crc32 ^= 1;
  Decoder decoder(source_, extent);
  for (uint64_t at = 0; at < 39 * kMiB; at += kMiB) ReadSome(decoder, at, kMiB);
  for (const uint64_t before : {0, 20, 35}) {
    ReadSome(decoder, before * kMiB, 1);
    EXPECT_EQ(FailureOf([&] { ReadSome(decoder, Data().size() - 1, 1); }), "5: bad CRC-32");
  }
}

TEST_F(LargeMember, DamageIsMetFromEachSide) {
  std::string damaged = Deflated();
  damaged[damaged.size() / 2] ^= 0x10;
  Decoder decoder(std::make_shared<MemorySource>(damaged), ExtentOf(damaged));
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(ReadSome(decoder, 16 * kMiB, kMiB) == Data().substr(16 * kMiB, kMiB));
    EXPECT_EQ(ErrnoOf([&] { ReadSome(decoder, Data().size() - 1, 1); }), EIO);
  }
}

TEST_F(LargeMember, FromManyThreadsAtManyPlaces) {
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 10; ++i) {
        const size_t offset = random() % (Data().size() - 70'000);
        if (ReadSome(decoder_, offset, 70'000) != Data().substr(offset, 70'000)) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

// Whatever is deflated how: what zlib writes at each level, stored blocks, runs, and noise.
TEST(Decoder, CheckpointsAnywhere) {
  constexpr size_t kSize = size_t{18} << 20;
  const std::string zeros(kSize, '\0');
  for (const std::string& data : {testing::Noise(kSize), zeros, testing::Numbers(kSize)}) {
    for (const int level : {0, 1, 6}) {
      auto decoder = Sample(zip::kMethodDeflated, testing::Deflate(data, level), data).Make();
      EXPECT_EQ(ReadSome(decoder, kSize - 1, 1), data.substr(kSize - 1));
      for (const size_t offset : {size_t{8} << 20, (size_t{9} << 20) - 1, size_t{16} << 20}) {
        EXPECT_TRUE(ReadSome(decoder, offset, 70'000) == data.substr(offset, 70'000)) << offset;
      }
      EXPECT_TRUE(ReadSome(decoder, 5, kSize - 5) == data.substr(5));
    }
  }
}

TEST(Decoder, NothingIsWrittenBesideWhatWasAskedFor) {
  const std::string lines = testing::SampleLines();
  const auto sample = LinesIn(zip::kMethodDeflated);
  const auto stream = OpenDecodeStream(*sample.source, sample.extent);
  std::string out(lines.size() + 1000, '#');
  size_t done = 0;
  std::mt19937 random(1);
  while (done < lines.size()) {
    const size_t size = std::min<size_t>(1 + random() % 100'000, lines.size() - done);
    EXPECT_EQ(stream->Read(std::as_writable_bytes(std::span(out).subspan(done, size))), size);
    done += size;
    EXPECT_EQ(out.find_first_not_of('#', done), std::string::npos);
  }
  EXPECT_TRUE(out.substr(0, done) == lines);
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
