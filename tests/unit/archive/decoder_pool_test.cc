#include "archive/decoder_pool.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "archive/member_state.h"
#include "support/memory_source.h"
#include "zip/format.h"

namespace skopsfs::archive {
namespace {

std::shared_ptr<Decoder> NewDecoder() {
  return std::make_shared<Decoder>(std::make_shared<testing::MemorySource>(""), Extent());
}

size_t OfOne() { return NewDecoder()->memory_bytes(); }

class DecoderPoolTest : public ::testing::Test {
 protected:
  // The decoder of `owner`; whether it had to be made is in `made_`.
  std::shared_ptr<Decoder> Get(DecoderPool::Owner& owner) {
    made_ = false;
    return pool_.Get(owner, [&] {
      made_ = true;
      return NewDecoder();
    });
  }
  bool IsKept(DecoderPool::Owner& owner) {
    Get(owner);
    return !made_;
  }

  DecoderPool pool_{2 * OfOne()};
  std::atomic<bool> made_ = false;
  DecoderPool::Owner a_, b_, c_;
};

TEST_F(DecoderPoolTest, KeepsOneForEachOwner) {
  Get(a_);
  Get(b_);
  EXPECT_TRUE(IsKept(a_));
  EXPECT_TRUE(IsKept(b_));
  EXPECT_EQ(pool_.bytes(), 2 * OfOne());
}

TEST_F(DecoderPoolTest, LeastRecentlyUsedGoes) {
  Get(a_);
  Get(b_);
  Get(a_);
  Get(c_);
  EXPECT_EQ(pool_.bytes(), 2 * OfOne());
  EXPECT_TRUE(IsKept(a_));
  EXPECT_TRUE(IsKept(c_));
  EXPECT_FALSE(IsKept(b_));
}

TEST_F(DecoderPoolTest, OnesInUseStay) {
  const auto a = Get(a_);
  Get(b_);
  Get(c_);  // instead of b
  EXPECT_TRUE(IsKept(a_));
  EXPECT_FALSE(IsKept(b_));
}

TEST_F(DecoderPoolTest, WhoFindsNoRoomWaitsForIt) {
  const auto b = Get(b_);
  std::atomic<bool> has_it = false;
  std::thread waiting;
  {
    const auto a = Get(a_);
    waiting = std::thread([&] {
      pool_.Get(c_, NewDecoder);
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
  DecoderPool::Owner in_small, also_in_small;
  { const auto a = small.Get(in_small, NewDecoder); }
  EXPECT_EQ(small.bytes(), OfOne());
  { const auto b = small.Get(also_in_small, NewDecoder); }
  EXPECT_EQ(small.bytes(), OfOne());
}

TEST_F(DecoderPoolTest, DropsOnRequest) {
  Get(a_);
  Get(b_);
  pool_.Drop(a_);
  EXPECT_EQ(pool_.bytes(), OfOne());
  EXPECT_TRUE(IsKept(b_));
  EXPECT_FALSE(IsKept(a_));
  pool_.Drop(c_);  // it has none
}

TEST_F(DecoderPoolTest, GoesWithTheMember) {
  {
    MemberState member(0, pool_);
    Get(member.decoder);
    EXPECT_EQ(pool_.bytes(), OfOne());
  }
  EXPECT_EQ(pool_.bytes(), 0U);
}

TEST_F(DecoderPoolTest, OneThatIsDroppedWhileInUseCountsUntilItIsReturned) {
  {
    const auto a = Get(a_);
    pool_.Drop(a_);
    EXPECT_EQ(pool_.bytes(), OfOne());
    EXPECT_FALSE(IsKept(a_)) << "another one for new readers";
    EXPECT_EQ(pool_.bytes(), 2 * OfOne());
  }
  EXPECT_EQ(pool_.bytes(), OfOne());
}

// It may have read something by then that is not to be used.
TEST_F(DecoderPoolTest, OneThatIsDroppedWhileItIsMadeIsMadeAgain) {
  int made = 0;
  pool_.Get(a_, [&] {
    if (++made == 1) pool_.Drop(a_);
    return NewDecoder();
  });
  EXPECT_EQ(made, 2);
  EXPECT_TRUE(IsKept(a_));
  EXPECT_EQ(pool_.bytes(), OfOne());
}

TEST_F(DecoderPoolTest, FailureToMakeOneLeavesTheRest) {
  Get(a_);
  Get(b_);
  const auto fail = []() -> std::shared_ptr<Decoder> { throw std::runtime_error("no"); };
  EXPECT_THROW(pool_.Get(c_, fail), std::runtime_error);
  EXPECT_TRUE(IsKept(a_));
  EXPECT_TRUE(IsKept(b_));
  EXPECT_FALSE(IsKept(c_));
}

TEST_F(DecoderPoolTest, ManyThreads) {
  std::array<DecoderPool::Owner, 5> owners;
  std::atomic<bool> too_much = false;
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 500; ++i) {
        auto& owner = owners.at((i * 7 + t) % owners.size());
        {
          const auto decoder = pool_.Get(owner, NewDecoder);
          decoder->Read(0, {});
          if (pool_.bytes() > 2 * OfOne()) too_much = true;
        }
        if (i % 50 == 0) pool_.Drop(owner);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(too_much);
  for (auto& owner : owners) pool_.Drop(owner);
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
