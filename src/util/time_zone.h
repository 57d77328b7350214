#pragma once

#include <cstdlib>
#include <ctime>

namespace skopsfs::util {

// Has conversions of local time keep to the zone that there is now: else each of them would look
// whether /etc/localtime has changed. To be called before there are threads.
inline void KeepTimeZone() {
  setenv("TZ", ":/etc/localtime", 0);
  tzset();
}

}  // namespace skopsfs::util
