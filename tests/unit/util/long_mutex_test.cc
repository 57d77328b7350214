#include "util/long_mutex.h"

#include <gtest/gtest.h>

#include <thread>

namespace skopsfs::util {
namespace {

TEST(LongMutexTest, WhoHasToWaitForItSaysSo) {
  LongMutex mutex;
  Progress progress{};
  const auto waits_for = [&] { return static_cast<WaitsFor>(progress.waits_for.load()); };
  mutex.lock();
  std::thread other([&] {
    KeepProgress(&progress);
    const std::lock_guard lock(mutex);
    EXPECT_EQ(waits_for(), WaitsFor::kNothing);
  });
  while (waits_for() != WaitsFor::kOthers) std::this_thread::yield();
  EXPECT_FALSE(mutex.try_lock());
  mutex.unlock();
  other.join();
}

TEST(LongMutexTest, WhoDoesNotHasToSayNothing) {
  LongMutex mutex;
  Progress progress{};
  KeepProgress(&progress);
  const std::unique_lock lock(mutex);
  EXPECT_EQ(progress.got_on, 0);
  KeepProgress(nullptr);
}

}  // namespace
}  // namespace skopsfs::util
