#pragma once

#include "util/mutex.h"
#include "util/progress.h"

namespace skopsfs::util {

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

}  // namespace skopsfs::util
