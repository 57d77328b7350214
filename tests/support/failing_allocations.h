#pragma once

#include <atomic>
#include <cstdint>

// Has allocations of memory fail, one or all from one on: malloc and its kind, operator new, and
// mmap of memory alone. What is linked with failing_allocations.cc, or has it preloaded, allocates
// through it.
namespace skopsfs::testing {

// As in allocations.py. Preloaded, it lies in the file that $SKOPSFS_ALLOCATIONS names.
struct AllocationControl {
  enum How : uint64_t { kNone, kOne, kAllFrom };

  std::atomic<uint64_t> how;      // fails
  std::atomic<uint64_t> process;  // of which one; 0: of any
  std::atomic<uint64_t> at;       // the number of the one to fail, or of the first
  std::atomic<uint64_t> count;    // how many there were
  std::atomic<uint64_t> failed;   // how many of them failed
};

AllocationControl& Allocations();

// How many pieces of memory there are now.
int64_t LiveAllocations();

// While it lives, allocations fail.
class FailingAllocations {
 public:
  FailingAllocations(AllocationControl::How how, uint64_t at) {
    Allocations().at = at;
    Allocations().count = 0;
    Allocations().failed = 0;
    Allocations().how = how;
  }
  ~FailingAllocations() { Allocations().how = AllocationControl::kNone; }
  FailingAllocations(const FailingAllocations&) = delete;
  FailingAllocations& operator=(const FailingAllocations&) = delete;
};

}  // namespace skopsfs::testing
