#pragma once

#include <mutex>

#include "util/progress.h"

// Annotations for clang's -Wthread-safety, as in leveldb and abseil. Other compilers see nothing.
#ifdef __clang__
#define SKOPSFS_THREAD_SAFETY(attribute) __attribute__((attribute))
#else
#define SKOPSFS_THREAD_SAFETY(attribute)
#endif
#define CAPABILITY(name) SKOPSFS_THREAD_SAFETY(capability(name))
#define SCOPED_CAPABILITY SKOPSFS_THREAD_SAFETY(scoped_lockable)
#define GUARDED_BY(mutex) SKOPSFS_THREAD_SAFETY(guarded_by(mutex))
#define REQUIRES(...) SKOPSFS_THREAD_SAFETY(requires_capability(__VA_ARGS__))
#define ACQUIRED_BEFORE(...) SKOPSFS_THREAD_SAFETY(acquired_before(__VA_ARGS__))
#define ACQUIRED_AFTER(...) SKOPSFS_THREAD_SAFETY(acquired_after(__VA_ARGS__))
#define ACQUIRE(...) SKOPSFS_THREAD_SAFETY(acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) SKOPSFS_THREAD_SAFETY(try_acquire_capability(__VA_ARGS__))
#define RELEASE(...) SKOPSFS_THREAD_SAFETY(release_capability(__VA_ARGS__))

namespace skopsfs::util {

// A std::mutex that the analysis knows; the standard library's has no annotations.
class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() { mutex_.lock(); }
  bool try_lock() TRY_ACQUIRE(true) { return mutex_.try_lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

// A mutex that may be held for long: for work, or while the source is asked. A thread that waits
// for it says so, because it is the holder that gets on, or does not.
class CAPABILITY("mutex") LongMutex {
 public:
  void lock() ACQUIRE() {
    if (mutex_.try_lock()) return;
    const Waiting others(WaitsFor::kOthers);
    mutex_.lock();
  }
  bool try_lock() TRY_ACQUIRE(true) { return mutex_.try_lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }

 private:
  Mutex mutex_;
};

// Holds a Mutex or LongMutex for as long as it lives, except between unlock() and lock(). For one
// thread. std::condition_variable_any waits with it.
template <typename M>
class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(M& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex.lock(); }
  // One that the thread has locked already, as with try_lock().
  MutexLock(M& mutex, std::adopt_lock_t) REQUIRES(mutex) : mutex_(mutex) {}
  ~MutexLock() RELEASE() {
    if (is_held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void lock() ACQUIRE() {
    mutex_.lock();
    is_held_ = true;
  }
  void unlock() RELEASE() {
    is_held_ = false;
    mutex_.unlock();
  }

 private:
  M& mutex_;
  bool is_held_ = true;
};

}  // namespace skopsfs::util
