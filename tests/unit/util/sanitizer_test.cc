// Canaries: in a build that is to have a sanitizer, the sanitizer sees what it is there for.

#include <gtest/gtest.h>

#include <climits>
#include <memory>
#include <string_view>
#include <thread>

namespace skopsfs::util {
namespace {

// What CMake was told, rather than what the compiler made of it.
bool IsAskedFor(std::string_view sanitizer) {
  return std::string_view(SKOPSFS_SANITIZE).find(sanitizer) != std::string_view::npos;
}

TEST(SanitizerDeathTest, AddressSeesAReadPastTheEnd) {
  if (!IsAskedFor("address")) GTEST_SKIP() << "a build without it";
  const auto bytes = std::make_unique<char[]>(8);
  volatile size_t end = 8;
  EXPECT_DEATH(printf("%d", bytes[end]), "heap-buffer-overflow");
}

TEST(SanitizerDeathTest, UndefinedSeesAnOverflow) {
  if (!IsAskedFor("undefined")) GTEST_SKIP() << "a build without it";
  volatile int most = INT_MAX;
  EXPECT_DEATH(printf("%d", most + 1), "signed integer overflow");
}

TEST(SanitizerDeathTest, ThreadSeesARace) {
  if (!IsAskedFor("thread")) GTEST_SKIP() << "a build without it";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        int shared = 0;
        std::thread other([&] { ++shared; });
        ++shared;
        other.join();
        exit(0);  // with the sanitizer's exit code
      },
      ::testing::ExitedWithCode(66), "data race");
}

}  // namespace
}  // namespace skopsfs::util
