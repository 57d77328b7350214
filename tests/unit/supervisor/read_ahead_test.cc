#include "supervisor/read_ahead.h"

#include <gtest/gtest.h>

#include "support/log_capture.h"

namespace skopsfs::supervisor {
namespace {

TEST(ReadAhead, WhatWasAskedForAndCannotBeSetIsLogged) {
  const testing::LogCapture log;
  SetReadAhead("no such mount", 512, std::nullopt);
  ASSERT_EQ(log.lines().size(), 1U);
  EXPECT_EQ(log.lines()[0].text,
            "the read-ahead is not changed, since that takes root: /sys/class/bdi/no such mount/"
            "read_ahead_kb cannot be set");
}

TEST(ReadAhead, WhatNobodyAskedForIsNot) {
  const testing::LogCapture log;
  SetReadAhead("no such mount", std::nullopt, std::nullopt);
  EXPECT_TRUE(log.lines().empty());
}

}  // namespace
}  // namespace skopsfs::supervisor
