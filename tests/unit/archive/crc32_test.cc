#include "archive/crc32.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/samples.h"

namespace skopsfs::archive {
namespace {

class RunningCrc32Test : public ::testing::Test {
 protected:
  std::optional<uint32_t> Add(uint64_t from, uint64_t to) {
    return running_.Add(from, Bytes().subspan(from, to - from));
  }
  std::span<const std::byte> Bytes() const { return std::as_bytes(std::span(data_)); }
  uint64_t size() const { return data_.size(); }

  const std::string data_ = testing::SampleLines().substr(0, 50'000);
  const uint32_t crc_ = archive::Crc32(0, Bytes());
  RunningCrc32 running_{data_.size()};
};

TEST_F(RunningCrc32Test, InOrder) {
  EXPECT_EQ(Add(0, 1000), std::nullopt);
  EXPECT_EQ(Add(1000, size() - 1), std::nullopt);
  EXPECT_EQ(Add(size() - 1, size()), crc_);
}

TEST_F(RunningCrc32Test, AtOnce) { EXPECT_EQ(Add(0, size()), crc_); }

TEST_F(RunningCrc32Test, NothingIsNotTheWhole) {
  EXPECT_EQ(Add(0, 0), std::nullopt);
  EXPECT_EQ(Add(0, size()), crc_);
}

TEST_F(RunningCrc32Test, BytesThatComeAgain) {
  EXPECT_EQ(Add(100, 200), std::nullopt);
  EXPECT_EQ(Add(100, 200), std::nullopt);
  EXPECT_EQ(Add(300, 400), std::nullopt);
  EXPECT_EQ(Add(120, 130), std::nullopt);
  EXPECT_EQ(Add(150, 250), std::nullopt);
  EXPECT_EQ(Add(50, 350), std::nullopt) << "over two runs and the gap between them";
  EXPECT_EQ(Add(0, 500), std::nullopt);
  EXPECT_EQ(Add(400, size()), crc_);
}

// Any order that makes few runs, with overlaps.
TEST_F(RunningCrc32Test, Shuffled) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    std::vector<uint64_t> cuts = {0, size()};
    for (size_t i = random() % 60; i-- > 0;) cuts.push_back(random() % size());
    std::sort(cuts.begin(), cuts.end());
    std::vector<std::pair<uint64_t, uint64_t>> pieces;
    for (size_t i = 1; i < cuts.size(); ++i) {
      pieces.emplace_back(cuts[i - 1], std::min(size(), cuts[i] + random() % 500));
    }
    std::shuffle(pieces.begin(), pieces.end(), random);
    RunningCrc32 running(size());
    std::vector<bool> seen(size());
    for (const auto& [from, to] : pieces) {
      std::fill(seen.begin() + static_cast<ptrdiff_t>(from),
                seen.begin() + static_cast<ptrdiff_t>(to), true);
      const bool whole = std::find(seen.begin(), seen.end(), false) == seen.end();
      const auto crc = running.Add(from, Bytes().subspan(from, to - from));
      ASSERT_EQ(crc, whole ? std::optional(crc_) : std::nullopt) << "seed " << seed;
    }
  }
}

TEST_F(RunningCrc32Test, TooManyRunsAreForgotten) {
  for (uint64_t i = 0; i < 1000; ++i) EXPECT_EQ(Add(2 * i, 2 * i + 1), std::nullopt);
  for (uint64_t i = 0; i < 1000; ++i) EXPECT_EQ(Add(2 * i + 1, 2 * i + 2), std::nullopt);
  Add(2000, size());
  EXPECT_EQ(Add(0, 2000), crc_) << "and can be gone over again";
}

TEST_F(RunningCrc32Test, ManyThreads) {
  constexpr uint64_t kPiece = 1000;
  std::atomic<uint64_t> next = 0;
  std::atomic<int> whole = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      while (true) {
        const uint64_t from = next.fetch_add(kPiece);
        if (from >= size()) return;
        const auto crc = Add(from, std::min(size(), from + kPiece));
        if (crc == crc_) ++whole;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(whole, 1);
}

}  // namespace
}  // namespace skopsfs::archive
