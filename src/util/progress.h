#pragma once

#include <atomic>
#include <cstdint>

namespace skopsfs::util {

// What a thread says that it waits for.
enum class WaitsFor : uint32_t {
  kNothing,  // it works
  kSource,   // the filesystem that the archives lie on
  kOthers,   // another thread, which is at work itself
};

// How a thread gets on with its request. Another process may read it at any time.
struct Progress {
  std::atomic<int64_t> got_on;  // when it last did, in nanoseconds of CLOCK_MONOTONIC
  std::atomic<uint32_t> waits_for;
};

// From now on the calling thread says in `progress` how it gets on; nullptr for nowhere.
void KeepProgress(Progress* progress);

// Says that the calling thread gets on. Work that takes more than a second calls it more often than
// that. Work that may go on for ever does not call it.
void GetOn();

// Says that the calling thread waits, for as long as this lives; then that it has got on. For the
// thread that made it.
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
