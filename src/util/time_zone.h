#pragma once

#include <cstdlib>
#include <ctime>

namespace skopsfs::util {

// From now on conversions of local time keep to the present zone. Without this, each of them looks
// whether /etc/localtime has changed. To be called before there are threads.
inline void KeepTimeZone() {
  setenv("TZ", ":/etc/localtime", 0);
  tzset();
}

}  // namespace skopsfs::util
