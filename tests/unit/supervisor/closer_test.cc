#include "supervisor/closer.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace skopsfs::supervisor {
namespace {

// Those of FUSE filesystems, for which it is there, are closed in test_source_stops.py.
TEST(CloserTest, WhatNeverWaitsIsClosedAtOnce) {
  const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  Closer closer;
  closer.Close(util::UniqueFd(fd));
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
  closer.Close(util::UniqueFd());
  EXPECT_FALSE(closer.Ended(1));
}

}  // namespace
}  // namespace skopsfs::supervisor
