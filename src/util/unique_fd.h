#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "util/error.h"

namespace skopsfs::util {

// Owns one file descriptor; closes it when it goes. Move-only, not thread-safe.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    Reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { Reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

  int Release() noexcept { return std::exchange(fd_, -1); }

  void Reset(int fd = -1) noexcept {
    const int old = std::exchange(fd_, fd);
    if (old >= 0) close(old);
  }

 private:
  int fd_ = -1;
};

// A duplicate that programs which are executed do not get. Throws util::Error.
inline UniqueFd Duplicate(int fd) {
  UniqueFd own(fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!own) throw ErrnoError("duplicating a descriptor");
  return own;
}

}  // namespace skopsfs::util
