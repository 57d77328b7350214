#pragma once

#include <sys/types.h>

#include <vector>

namespace skopsfs::util {

struct UserIds {
  uid_t uid = 0;
  gid_t gid = 0;
};

// Whom a worker that root has started serves as. It is decided once a mount, by the supervisor.
struct ServingUser {
  UserIds ids;         // whom it becomes
  bool stays = false;  // it does not, but stays root, without capabilities; `ids` own the source
};

// While it lives, the calling thread opens files as another user would, of that one group and
// without capabilities. For root; use from one thread, in a process that has no others.
class AsUser {
 public:
  // Throws util::Error(EPERM) when this root may not, as in a container without CAP_SETUID.
  explicit AsUser(const UserIds& user);
  ~AsUser();
  AsUser(const AsUser&) = delete;
  AsUser& operator=(const AsUser&) = delete;

 private:
  void BecomeAgain() const;

  uid_t uid_;
  gid_t gid_;
  std::vector<gid_t> groups_;
  int end_with_parent_ = 0;  // the signal; becoming another user forgets it
  int dumpable_ = 0;         // likewise
};

// Takes all capabilities from the calling process for good, also for programs that it might run;
// one that root has started becomes `user`. To be called before there are threads. Throws
// util::Error.
void GiveUpPowers(const ServingUser& user);

// Makes this a process of the supervisor's that needs no file and no power, and ends with its
// parent. To be called before there are threads. Throws util::Error.
void BecomePowerless();

}  // namespace skopsfs::util
