#include "support/file_changes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>
#include <tuple>

#include "util/unique_fd.h"

namespace skopsfs::testing {
namespace {

void Check(bool fine, const std::string& what) {
  if (!fine) throw std::system_error(errno, std::generic_category(), what);
}

struct stat Look(const std::string& path) {
  struct stat st;
  Check(stat(path.c_str(), &st) == 0, "stat " + path);
  return st;
}

bool Later(const timespec& a, const timespec& b) {
  return std::tie(a.tv_sec, a.tv_nsec) > std::tie(b.tv_sec, b.tv_nsec);
}

}  // namespace

void WaitForNewTime(const std::string& path) {
  const timespec last = Look(path).st_ctim;
  const std::string probe = path + ".clock";
  while (true) {
    util::UniqueFd fd(open(probe.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    Check(static_cast<bool>(fd), "open " + probe);
    const timespec now = Look(probe).st_ctim;
    Check(unlink(probe.c_str()) == 0, "unlink " + probe);
    if (Later(now, last)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void Overwrite(const std::string& path, uint64_t offset, std::string_view bytes) {
  const util::UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  Check(static_cast<bool>(fd), "open " + path);
  const auto wrote = pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
  Check(wrote == static_cast<ssize_t>(bytes.size()), "pwrite " + path);
}

void OverwriteKeepingTime(const std::string& path, uint64_t offset, std::string_view bytes) {
  WaitForNewTime(path);
  const struct stat before = Look(path);
  Overwrite(path, offset, bytes);
  const timespec times[2] = {before.st_atim, before.st_mtim};
  Check(utimensat(AT_FDCWD, path.c_str(), times, 0) == 0, "utimensat " + path);
}

void TouchMode(const std::string& path) {
  WaitForNewTime(path);
  Check(chmod(path.c_str(), Look(path).st_mode & 07777) == 0, "chmod " + path);
}

}  // namespace skopsfs::testing
