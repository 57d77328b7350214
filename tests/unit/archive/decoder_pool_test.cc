#include "archive/decoder_pool.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <list>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/memory_source.h"
#include "zip/format.h"

namespace skopsfs::archive {
namespace {

std::unique_ptr<Decoder> NewDecoder(const Extent& extent = {}) {
  return std::make_unique<Decoder>(std::make_shared<testing::MemorySource>(""), extent);
}

size_t OfOne() { return NewDecoder()->memory_bytes(); }

class DecoderPoolTest : public ::testing::Test {
 protected:
  // Borrows the decoder in `place`; whether it had to be made is in `made_`.
  DecoderPool::Lease Borrow(DecoderPool::Place& place) {
    made_ = false;
    return place.Borrow([&] {
      made_ = true;
      return NewDecoder();
    });
  }
  bool IsKept(DecoderPool::Place& place) {
    Borrow(place);
    return !made_;
  }

  DecoderPool pool_{2 * OfOne()};
  std::atomic<bool> made_ = false;
  DecoderPool::Place a_{pool_}, b_{pool_}, c_{pool_};
};

TEST_F(DecoderPoolTest, KeepsOneForEachPlace) {
  Borrow(a_);
  Borrow(b_);
  EXPECT_TRUE(IsKept(a_));
  EXPECT_TRUE(IsKept(b_));
  EXPECT_EQ(pool_.bytes(), 2 * OfOne());
}

TEST_F(DecoderPoolTest, LeastRecentlyUsedGoes) {
  Borrow(a_);
  Borrow(b_);
  Borrow(a_);
  Borrow(c_);
  EXPECT_EQ(pool_.bytes(), 2 * OfOne());
  EXPECT_TRUE(IsKept(a_));
  EXPECT_TRUE(IsKept(c_));
  EXPECT_FALSE(IsKept(b_));
}

TEST_F(DecoderPoolTest, OnesInUseStay) {
  const auto a = Borrow(a_);
  Borrow(b_);
  Borrow(c_);  // instead of b
  EXPECT_TRUE(IsKept(a_));
  EXPECT_FALSE(IsKept(b_));
}

TEST_F(DecoderPoolTest, WhoFindsNoRoomWaitsForIt) {
  const auto b = Borrow(b_);
  std::atomic<bool> has_it = false;
  std::thread waiting;
  {
    const auto a = Borrow(a_);
    waiting = std::thread([&] {
      c_.Borrow([] { return NewDecoder(); });
      has_it = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_FALSE(has_it);
  }
  waiting.join();
  EXPECT_TRUE(has_it);
  EXPECT_EQ(pool_.bytes(), 2 * OfOne());
}

TEST_F(DecoderPoolTest, OneThatIsLargerThanAllIsUsedAlone) {
  DecoderPool small(1);
  DecoderPool::Place in_small(small), also_in_small(small);
  {
    const auto a = in_small.Borrow([] { return NewDecoder(); });
  }
  EXPECT_EQ(small.bytes(), OfOne());
  {
    const auto b = also_in_small.Borrow([] { return NewDecoder(); });
  }
  EXPECT_EQ(small.bytes(), OfOne());
}

TEST_F(DecoderPoolTest, DropsOnRequest) {
  Borrow(a_);
  Borrow(b_);
  a_.Drop();
  EXPECT_EQ(pool_.bytes(), OfOne());
  EXPECT_TRUE(IsKept(b_));
  EXPECT_FALSE(IsKept(a_));
  c_.Drop();  // it has none
}

TEST_F(DecoderPoolTest, GoesWithThePlace) {
  {
    DecoderPool::Place place(pool_);
    Borrow(place);
    EXPECT_EQ(pool_.bytes(), OfOne());
  }
  EXPECT_EQ(pool_.bytes(), 0U);
}

TEST_F(DecoderPoolTest, OneThatIsDroppedWhileInUseCountsUntilItIsReturned) {
  {
    const auto a = Borrow(a_);
    a_.Drop();
    EXPECT_EQ(pool_.bytes(), OfOne());
    EXPECT_FALSE(IsKept(a_)) << "another one for new readers";
    EXPECT_EQ(pool_.bytes(), 2 * OfOne());
  }
  EXPECT_EQ(pool_.bytes(), OfOne());
}

// It may have read something by then that is not to be used.
TEST_F(DecoderPoolTest, OneThatIsDroppedWhileItIsMadeIsMadeAgain) {
  int made = 0;
  a_.Borrow([&] {
    if (++made == 1) a_.Drop();
    return NewDecoder();
  });
  EXPECT_EQ(made, 2);
  EXPECT_TRUE(IsKept(a_));
  EXPECT_EQ(pool_.bytes(), OfOne());
}

TEST_F(DecoderPoolTest, FailureToMakeOneLeavesTheRest) {
  Borrow(a_);
  Borrow(b_);
  const auto fail = []() -> std::unique_ptr<Decoder> { throw std::runtime_error("no"); };
  EXPECT_THROW(c_.Borrow(fail), std::runtime_error);
  EXPECT_TRUE(IsKept(a_));
  EXPECT_TRUE(IsKept(b_));
  EXPECT_FALSE(IsKept(c_));
}

TEST_F(DecoderPoolTest, ManyThreads) {
  std::list<DecoderPool::Place> places;
  for (int i = 0; i < 5; ++i) places.emplace_back(pool_);
  std::atomic<bool> too_much = false;
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 500; ++i) {
        auto& place =
            *std::next(places.begin(), static_cast<ptrdiff_t>((i * 7 + t) % places.size()));
        {
          const auto lease = place.Borrow([] { return NewDecoder(); });
          lease->Read(0, {});
          if (pool_.bytes() > 2 * OfOne()) too_much = true;
        }
        if (i % 50 == 0) place.Drop();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(too_much);
  places.clear();
  EXPECT_EQ(pool_.bytes(), 0U);
}

// What a decoder takes is known before it is made.
TEST_F(DecoderPoolTest, MemoryByMethod) {
  const std::array<char, 9> header = {9, 4, 5, 0, 0x5d, 0, 0, 0, 3};  // a dictionary of 48 MiB
  const auto source = std::make_shared<testing::MemorySource>(std::string(header.data(), 9));
  const auto of = [&](uint16_t method, uint64_t size) {
    return Decoder(source, {.compressed_size = size, .method = method}).memory_bytes();
  };
  EXPECT_GT(of(zip::kMethodLzma, 9), size_t{48} << 20);
  EXPECT_LT(of(zip::kMethodLzma, 9), size_t{51} << 20);
  EXPECT_LT(of(zip::kMethodLzma, 8), size_t{3} << 20) << "there is no header";
  EXPECT_GT(of(zip::kMethodBzip2, 9), of(zip::kMethodDeflated, 9));
}

// A checkpoint every 8 MiB, until there are many of them.
TEST_F(DecoderPoolTest, MemoryBySize) {
  const auto of = [&](uint64_t size) {
    return Decoder(std::make_shared<testing::MemorySource>(""),
                   {.size = size, .method = zip::kMethodDeflated})
        .memory_bytes();
  };
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  EXPECT_LT(of(1), 200'000U);
  EXPECT_LT(of(100'000), 300'000U);
  const double each = static_cast<double>(of(2 * kGiB) - of(kGiB)) / static_cast<double>(kGiB);
  EXPECT_GT(each, 0.003);
  EXPECT_LT(each, 0.01);
  EXPECT_LT(of(4 * kGiB), size_t{48} << 20);
  EXPECT_LT(of(uint64_t{1} << 62), size_t{48} << 20);
}

}  // namespace
}  // namespace skopsfs::archive
