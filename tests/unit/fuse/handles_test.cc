#include "fuse/handles.h"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>

namespace skopsfs::fuse {
namespace {

struct Handle {
  int value;
};

class HandlesTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  HandlesTest() { handles_.SetGeneration(GetParam()); }

  Handles<Handle> handles_;
};

TEST_P(HandlesTest, OwnOnesAreFound) {
  const uint64_t number = handles_.Give(std::make_unique<Handle>(Handle{7}));
  EXPECT_TRUE(handles_.IsOwn(number));
  const auto never = []() -> std::unique_ptr<Handle> { throw std::logic_error("made again"); };
  EXPECT_EQ(handles_.Find(number, never).value, 7);
  EXPECT_EQ(handles_.Take(number)->value, 7);
}

TEST_P(HandlesTest, ThoseOfAPredecessorAreMadeAgainOnce) {
  Handles<Handle> predecessor;
  predecessor.SetGeneration(GetParam() - 1);
  const uint64_t number = predecessor.Give(std::make_unique<Handle>(Handle{1}));
  EXPECT_FALSE(handles_.IsOwn(number));
  int made = 0;
  const auto make = [&] { return std::make_unique<Handle>(Handle{++made + 10}); };
  EXPECT_EQ(handles_.Find(number, make).value, 11);
  EXPECT_EQ(handles_.Find(number, make).value, 11);
  EXPECT_EQ(handles_.Take(number)->value, 11);
  EXPECT_EQ(handles_.Take(number), nullptr) << "never asked for";
  predecessor.Take(number);
}

TEST_P(HandlesTest, OneThatCannotBeMadeAgain) {
  const auto fail = []() -> std::unique_ptr<Handle> { throw std::runtime_error("gone"); };
  EXPECT_THROW(handles_.Find(5, fail), std::runtime_error);
  EXPECT_EQ(handles_.Take(5), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Generations, HandlesTest,
                         ::testing::Values(1, 2, 65'535, 65'536,
                                           Handles<Handle>::kGenerations - 1));

}  // namespace
}  // namespace skopsfs::fuse
