#pragma once

#include <array>
#include <cstdint>

#include "util/mutex.h"

namespace skopsfs::archive {

// Tells reads of a file that go on where others ended from those that jump: the kernel's read-ahead
// serves the first, and for the second brings in what nobody asked for. Knows several readers
// apart, and what the kernel asks for at once comes in any order. Thread-safe.
class SequentialReadDetector {
 public:
  enum class Pattern {
    kRandom,    // nothing beside it was read of late
    kShortRun,  // it goes on, but what the kernel reads ahead on a mount for one page is as long
    kLongRun,
  };

  // Notes a read.
  Pattern Note(uint64_t offset, uint64_t size);

 private:
  struct Run {
    uint64_t end = 0;      // where it goes on
    uint64_t length = 0;   // bytes; 0: none
    uint64_t request = 0;  // bytes of the largest
    uint64_t used = 0;     // when: the number of the last read
  };

  util::Mutex mutex_;
  std::array<Run, 16> runs_ GUARDED_BY(mutex_);
  uint64_t reads_ GUARDED_BY(mutex_) = 0;
};

}  // namespace skopsfs::archive
