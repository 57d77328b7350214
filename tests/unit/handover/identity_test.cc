#include "handover/identity.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>

namespace skopsfs::handover {
namespace {

TEST(Identity, OfEveryTimeThatAFilesystemMaySay) {
  constexpr std::array<int64_t, 5> kSeconds = {std::numeric_limits<int64_t>::min(), -1, 0,
                                               288'230'377'947'101'178,
                                               std::numeric_limits<int64_t>::max()};
  for (const int64_t seconds : kSeconds) {
    struct stat st {};
    st.st_mtim = {.tv_sec = seconds, .tv_nsec = 5};
    st.st_ctim = {.tv_sec = seconds, .tv_nsec = 7};
    const auto identity = IdentityOf(st);
    EXPECT_EQ(identity, IdentityOf(st));
    ++st.st_ctim.tv_nsec;
    EXPECT_NE(identity, IdentityOf(st));
  }
  struct stat st {};
  st.st_mtim = {.tv_sec = 1'700'000'000, .tv_nsec = 5};
  EXPECT_EQ(IdentityOf(st).mtime, 1'700'000'000'000'000'005);
}

}  // namespace
}  // namespace skopsfs::handover
