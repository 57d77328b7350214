#include "util/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <type_traits>

namespace skopsfs::util {
namespace {

int OpenNull() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool IsOpen(int fd) { return fcntl(fd, F_GETFD) != -1; }

TEST(UniqueFd, ClosesWhenItGoes) {
  const int raw = OpenNull();
  {
    const UniqueFd fd(raw);
    EXPECT_TRUE(fd);
    EXPECT_EQ(fd.get(), raw);
    EXPECT_TRUE(IsOpen(raw));
  }
  EXPECT_FALSE(IsOpen(raw));
}

TEST(UniqueFd, EmptyOneIsFalse) {
  const UniqueFd fd;
  EXPECT_FALSE(fd);
  EXPECT_EQ(fd.get(), -1);
}

TEST(UniqueFd, MovesItsDescriptor) {
  static_assert(!std::is_copy_constructible_v<UniqueFd>);
  UniqueFd first(OpenNull());
  const int raw = first.get();
  UniqueFd second(std::move(first));
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): what is left is part of the contract
  EXPECT_EQ(second.get(), raw);

  UniqueFd third(OpenNull());
  const int overwritten = third.get();
  third = std::move(second);
  EXPECT_EQ(third.get(), raw);
  EXPECT_FALSE(IsOpen(overwritten));
  EXPECT_TRUE(IsOpen(raw));
}

TEST(UniqueFd, ReleasedOneStaysOpen) {
  int raw = -1;
  {
    UniqueFd fd(OpenNull());
    raw = fd.Release();
    EXPECT_FALSE(fd);
  }
  EXPECT_TRUE(IsOpen(raw));
  UniqueFd again(raw);
  again.Reset();
  EXPECT_FALSE(IsOpen(raw));
}

}  // namespace
}  // namespace skopsfs::util
