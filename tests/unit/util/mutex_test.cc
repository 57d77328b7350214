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

}  // namespace
}  // namespace skopsfs::util
