#include "archive/writers.h"

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "util/clock.h"

namespace skopsfs::archive {

void WaitUntilSettled(int64_t ctime) {
  constexpr int64_t kStep = 20'000'000;
  const int64_t present = util::RealNow();
  if (ctime > present || ctime <= present - kStep) return;
  std::this_thread::sleep_for(std::chrono::nanoseconds(kStep - (present - ctime)));
}

bool IsOpenForWriting(int fd) {
  // A lease for reading is granted only where nobody writes. It is given back at once.
  if (fcntl(fd, F_SETLEASE, F_RDLCK) != 0) return errno == EAGAIN;
  fcntl(fd, F_SETLEASE, F_UNLCK);
  return false;
}

}  // namespace skopsfs::archive
