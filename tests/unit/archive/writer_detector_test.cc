#include "archive/writer_detector.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace skopsfs::archive {
namespace {

TEST(WaitUntilSettled, NotForTimesFarAway) {
  WaitUntilSettled(std::numeric_limits<int64_t>::min());
  WaitUntilSettled(std::numeric_limits<int64_t>::max());
  WaitUntilSettled(0);
}

}  // namespace
}  // namespace skopsfs::archive
