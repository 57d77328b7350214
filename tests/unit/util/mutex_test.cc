#include "util/mutex.h"

#include <gtest/gtest.h>

#include <thread>

namespace skopsfs::util {
namespace {

// Asked by another thread, since the one that holds it may not ask.
bool IsHeld(Mutex& mutex) {
  bool is_held = true;
  std::thread([&] {
    if (!mutex.try_lock()) return;
    is_held = false;
    mutex.unlock();
  }).join();
  return is_held;
}

TEST(MutexLock, HoldsItWhileItLives) {
  Mutex mutex;
  {
    MutexLock lock(mutex);
    EXPECT_TRUE(IsHeld(mutex));
    lock.unlock();
    EXPECT_FALSE(IsHeld(mutex));
    lock.lock();
    EXPECT_TRUE(IsHeld(mutex));
  }
  EXPECT_FALSE(IsHeld(mutex));
}

TEST(MutexLock, DoesNotUnlockTwice) {
  Mutex mutex;
  {
    MutexLock lock(mutex);
    lock.unlock();
    mutex.lock();
  }
  EXPECT_TRUE(IsHeld(mutex));
  mutex.unlock();
}

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
