#include "archive/decoder_pool.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>
#include <vector>

#include "support/memory_source.h"

namespace skopsfs::archive {
namespace {

std::shared_ptr<Decoder> NewDecoder() {
  return std::make_shared<Decoder>(std::make_shared<testing::MemorySource>(""), Extent{});
}

class DecoderPoolTest : public ::testing::Test {
 protected:
  // Gets the decoder of `owner`; whether it had to be made is in `made_`.
  std::shared_ptr<Decoder> Get(const int& owner) {
    made_ = false;
    return pool_.Get(&owner, [&] {
      made_ = true;
      return NewDecoder();
    });
  }
  bool IsKept(const int& owner) {
    Get(owner);
    return !made_;
  }

  DecoderPool pool_{2};
  bool made_ = false;
  int a_ = 0, b_ = 0, c_ = 0;
};

TEST_F(DecoderPoolTest, KeepsOneForEachOwner) {
  const auto a = Get(a_);
  const auto b = Get(b_);
  EXPECT_NE(a, b);
  EXPECT_EQ(Get(a_), a);
  EXPECT_FALSE(made_);
  EXPECT_EQ(Get(b_), b);
}

TEST_F(DecoderPoolTest, LeastRecentlyUsedGoes) {
  Get(a_);
  Get(b_);
  Get(a_);
  Get(c_);
  EXPECT_TRUE(IsKept(a_));
  EXPECT_TRUE(IsKept(c_));
  EXPECT_FALSE(IsKept(b_));
}

TEST_F(DecoderPoolTest, OneInUseOutlivesItsPlace) {
  const auto a = Get(a_);
  const std::weak_ptr<Decoder> b = Get(b_);
  Get(c_);
  Get(b_);
  Get(c_);
  EXPECT_EQ(a.use_count(), 1);  // the pool has let it go
  a->Read(0, {});               // and it still works
  Get(a_);
  EXPECT_TRUE(b.expired());
}

TEST_F(DecoderPoolTest, DropsOnRequest) {
  const std::weak_ptr<Decoder> a = Get(a_);
  Get(b_);
  pool_.Drop(&a_);
  EXPECT_TRUE(a.expired());
  EXPECT_TRUE(IsKept(b_));
  EXPECT_FALSE(IsKept(a_));
  pool_.Drop(&c_);  // it has none
}

TEST_F(DecoderPoolTest, FailureToMakeOneLeavesTheRest) {
  Get(a_);
  Get(b_);
  const auto fail = []() -> std::shared_ptr<Decoder> { throw std::runtime_error("no"); };
  EXPECT_THROW(pool_.Get(&c_, fail), std::runtime_error);
  EXPECT_TRUE(IsKept(a_));
  EXPECT_TRUE(IsKept(b_));
  EXPECT_FALSE(IsKept(c_));
}

TEST_F(DecoderPoolTest, ManyThreads) {
  std::vector<int> owners(5);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 500; ++i) {
        const int& owner = owners[(i * 7 + t) % owners.size()];
        EXPECT_NE(pool_.Get(&owner, NewDecoder), nullptr);
        if (i % 50 == 0) pool_.Drop(&owner);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace skopsfs::archive
