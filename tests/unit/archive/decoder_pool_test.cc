#include "archive/decoder_pool.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
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
  // Borrows the decoder of `owner`; whether it had to be made is in `made_`.
  DecoderPool::Lease Borrow(const int& owner) {
    made_ = false;
    return pool_.Borrow(&owner, [&] {
      made_ = true;
      return NewDecoder();
    });
  }
  bool IsKept(const int& owner) {
    Borrow(owner);
    return !made_;
  }

  DecoderPool pool_{2 * OfOne()};
  std::atomic<bool> made_ = false;
  int a_ = 0, b_ = 0, c_ = 0;
};

TEST_F(DecoderPoolTest, KeepsOneForEachOwner) {
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
      pool_.Borrow(&c_, [] { return NewDecoder(); });
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
  {
    const auto a = small.Borrow(&a_, [] { return NewDecoder(); });
  }
  EXPECT_EQ(small.bytes(), OfOne());
  {
    const auto b = small.Borrow(&b_, [] { return NewDecoder(); });
  }
  EXPECT_EQ(small.bytes(), OfOne());
}

TEST_F(DecoderPoolTest, DropsOnRequest) {
  Borrow(a_);
  Borrow(b_);
  pool_.Drop(&a_);
  EXPECT_EQ(pool_.bytes(), OfOne());
  EXPECT_TRUE(IsKept(b_));
  EXPECT_FALSE(IsKept(a_));
  pool_.Drop(&c_);  // it has none
}

TEST_F(DecoderPoolTest, OneThatIsDroppedWhileInUseCountsUntilItIsReturned) {
  {
    const auto a = Borrow(a_);
    pool_.Drop(&a_);
    EXPECT_EQ(pool_.bytes(), OfOne());
    EXPECT_FALSE(IsKept(a_)) << "another one for new readers";
    EXPECT_EQ(pool_.bytes(), 2 * OfOne());
  }
  EXPECT_EQ(pool_.bytes(), OfOne());
}

TEST_F(DecoderPoolTest, FailureToMakeOneLeavesTheRest) {
  Borrow(a_);
  Borrow(b_);
  const auto fail = []() -> std::unique_ptr<Decoder> { throw std::runtime_error("no"); };
  EXPECT_THROW(pool_.Borrow(&c_, fail), std::runtime_error);
  EXPECT_TRUE(IsKept(a_));
  EXPECT_TRUE(IsKept(b_));
  EXPECT_FALSE(IsKept(c_));
}

TEST_F(DecoderPoolTest, ManyThreads) {
  std::vector<int> owners(5);
  std::atomic<bool> too_much = false;
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 500; ++i) {
        const int& owner = owners[(i * 7 + t) % owners.size()];
        {
          const auto lease = pool_.Borrow(&owner, [] { return NewDecoder(); });
          lease->Read(0, {});
          if (pool_.bytes() > 2 * OfOne()) too_much = true;
        }
        if (i % 50 == 0) pool_.Drop(&owner);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(too_much);
  for (const int& owner : owners) pool_.Drop(&owner);
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
  EXPECT_LT(of(zip::kMethodDeflated, 9), size_t{3} << 20);
  EXPECT_GT(of(zip::kMethodBzip2, 9), of(zip::kMethodDeflated, 9));
}

}  // namespace
}  // namespace skopsfs::archive
