#include "util/error.h"

#include <gtest/gtest.h>

namespace skopsfs::util {
namespace {

TEST(Error, KeepsCodeAndMessage) {
  const Error error(EFBIG, "too many");
  EXPECT_EQ(error.code(), EFBIG);
  EXPECT_STREQ(error.what(), "too many");
}

TEST(Error, OfSystemCallNamesWhatFailed) {
  errno = ENOENT;
  const Error error = ErrnoError("opening x");
  EXPECT_EQ(error.code(), ENOENT);
  EXPECT_STREQ(error.what(), "opening x: No such file or directory");
  EXPECT_EQ(ErrnoError("y", EACCES).code(), EACCES);
}

}  // namespace
}  // namespace skopsfs::util
