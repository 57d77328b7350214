#include "archive/writers.h"

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <thread>

namespace skopsfs::archive {

void WaitUntilSettled(int64_t ctime) {
  constexpr int64_t kSecond = 1'000'000'000;
  constexpr int64_t kStep = 20'000'000;
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const int64_t present = now.tv_sec * kSecond + now.tv_nsec;
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
