#pragma once

#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace skopsfs::util {

// Nanoseconds of a clock of clock_gettime(2).
inline int64_t Now(clockid_t clock) {
  constexpr int64_t kSecond = 1'000'000'000;
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

inline int64_t RealNow() { return Now(CLOCK_REALTIME); }        // since 1970
inline int64_t MonotonicNow() { return Now(CLOCK_MONOTONIC); }  // never goes back

// From now on conversions of local time keep to the present zone. Without this, each of them looks
// whether /etc/localtime has changed. To be called before there are threads.
inline void KeepTimeZone() {
  setenv("TZ", ":/etc/localtime", 0);
  tzset();
}

}  // namespace skopsfs::util
