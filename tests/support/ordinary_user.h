#pragma once

#include <sys/fsuid.h>
#include <unistd.h>

namespace skopsfs::testing {

// While it lives, the calling thread meets file permissions as an ordinary user does, also where
// the tests run as root.
class OrdinaryUser {
 public:
  OrdinaryUser() {
    if (geteuid() == 0) setfsuid(kNobody);
  }
  ~OrdinaryUser() {
    if (geteuid() == 0) setfsuid(0);
  }
  OrdinaryUser(const OrdinaryUser&) = delete;
  OrdinaryUser& operator=(const OrdinaryUser&) = delete;

 private:
  static constexpr uid_t kNobody = 65534;
};

}  // namespace skopsfs::testing
