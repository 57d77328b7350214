// The mount table when memory ends: a part of it would be taken for all of it.

#include "util/mount_table.h"

#include <gtest/gtest.h>

#include <new>

#include "support/failing_allocations.h"

namespace skopsfs::util {
namespace {

using testing::AllocationControl;

TEST(MountTableAllocations, AllOfItOrNothing) {
  const size_t size = ReadMountTable().size();
  ASSERT_GT(size, 0U);
  for (uint64_t number = 0;; ++number) {
    try {
      const testing::FailingAllocations failing(AllocationControl::kOne, number);
      const auto mounts = ReadMountTable();
      ASSERT_EQ(mounts.size(), size) << number;
      if (testing::Allocations().failed == 0) return;
    } catch (const std::bad_alloc&) {
      continue;
    }
  }
}

}  // namespace
}  // namespace skopsfs::util
