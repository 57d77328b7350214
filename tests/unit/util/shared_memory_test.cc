#include "util/shared_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>

#include "support/errors.h"

namespace skopsfs::util {
namespace {

using Access = SharedMapping::Access;
using testing::ErrnoOf;

constexpr size_t kSize = 4096;

int& NumberIn(const SharedMapping& mapping) { return *static_cast<int*>(mapping.get()); }

TEST(SharedMapping, OneProcessFindsWhatAnotherWrote) {
  auto memory = MakeSharedMemory("test", kSize);
  const SharedMapping writer(memory, kSize, "a test", Access::kWrite);
  const SharedMapping reader(memory, kSize, "a test", Access::kRead);
  memory.Reset();
  EXPECT_EQ(NumberIn(reader), 0);
  NumberIn(writer) = 7;
  EXPECT_EQ(NumberIn(reader), 7);
}

TEST(SharedMapping, IsGoneWithItsObject) {
  const auto memory = MakeSharedMemory("test", kSize);
  const void* where = nullptr;
  {
    const SharedMapping mapping(memory, kSize, "a test", Access::kWrite);
    where = mapping.get();
  }
  EXPECT_EQ(access(static_cast<const char*>(where), F_OK), -1);
  EXPECT_EQ(errno, EFAULT);
}

TEST(SharedMapping, OfAnotherSizeIsRefused) {
  const auto memory = MakeSharedMemory("test", kSize);
  EXPECT_EQ(ErrnoOf([&] { SharedMapping(memory, 2 * kSize, "a test", Access::kRead); }), EPROTO);
  EXPECT_EQ(ErrnoOf([&] { SharedMapping(UniqueFd(), kSize, "a test", Access::kRead); }), EBADF);
}

TEST(SharedMapping, WhatIsInItMayBeRefused) {
  const SharedMapping mapping(MakeSharedMemory("test", kSize), kSize, "a test", Access::kRead);
  mapping.Check(true);
  EXPECT_EQ(ErrnoOf([&] { mapping.Check(false); }), EPROTO);
}

}  // namespace
}  // namespace skopsfs::util
