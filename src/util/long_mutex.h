#pragma once

#include <mutex>

#include "util/progress.h"

namespace skopsfs::util {

// A mutex that may be held for long: for work, or while the source is asked. A thread that has to
// wait for it says so, since it is whoever holds it that gets on, or does not.
class LongMutex {
 public:
  void lock() {
    if (mutex_.try_lock()) return;
    const Waiting others(WaitsFor::kOthers);
    mutex_.lock();
  }
  bool try_lock() { return mutex_.try_lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

}  // namespace skopsfs::util
