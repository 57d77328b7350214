#pragma once

#include <atomic>
#include <cstdint>

namespace skopsfs::util {

// What a thread waits for, when it says so.
enum class WaitsFor : uint32_t {
  kNothing,  // it works
  kSource,   // the filesystem that the archives lie on
  kOthers,   // another thread, which is at work itself
};

// How a thread gets on with what it is at, for whoever looks on from another process.
struct Progress {
  std::atomic<int64_t> got_on;  // when it last did, in nanoseconds of CLOCK_MONOTONIC
  std::atomic<uint32_t> waits_for;
};

// Where the calling thread says from now on how it gets on; nullptr for nowhere.
void KeepProgress(Progress* progress);

// The calling thread gets on with its work. To be called more than once a second in whatever may
// take longer, but not by what may go on for ever.
void GetOn();

// The calling thread waits for as long as this lives; then it has got on.
class Waiting {
 public:
  explicit Waiting(WaitsFor what);
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  WaitsFor before_ = WaitsFor::kNothing;
};

}  // namespace skopsfs::util
