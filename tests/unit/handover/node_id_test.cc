#include "handover/node_id.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace skopsfs::handover {
namespace {

TEST(NodeId, TheRootIsOne) {
  EXPECT_EQ(kRoot.number(), 1U);
  EXPECT_EQ(NodeId::From(1), kRoot);
}

TEST(NodeId, NumbersAreUniqueAndLeadBack) {
  constexpr uint32_t kLastIndex = (1U << NodeId::kIndexBits) - 1;
  constexpr uint64_t kLastSlot = UINT64_MAX >> NodeId::kIndexBits;
  std::set<uint64_t> numbers = {kRoot.number()};
  for (const uint64_t slot : std::vector<uint64_t>{1, 2, 255, 1U << 24, 1ULL << 32, kLastSlot}) {
    for (const uint32_t index : {0U, 1U, 2U, 65536U, kLastIndex}) {
      const NodeId node{.slot = slot, .index = index};
      EXPECT_TRUE(numbers.insert(node.number()).second) << slot << " " << index;
      EXPECT_GT(node.number(), 1U);
      EXPECT_EQ(NodeId::From(node.number()), node) << slot << " " << index;
    }
  }
}

}  // namespace
}  // namespace skopsfs::handover
