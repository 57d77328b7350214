#pragma once

#include <sys/types.h>

#include <vector>

namespace skopsfs::util {

struct UserIds {
  uid_t uid = 0;
  gid_t gid = 0;
};

// The user as whom a worker serves that root has started. The supervisor decides it once a mount.
struct ServingUser {
  UserIds ids;  // whom it becomes
  // It becomes nobody, but stays root without capabilities. Then `ids` own the source.
  bool stays = false;
};

// While it lives, the calling thread opens files as another user would, of that one group and
// without capabilities. For root. Use from one thread, in a process that has no other.
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

// Takes all capabilities from the calling process for good, and from programs that it might run. A
// process that root has started becomes `user`. To be called before there are threads. Throws
// util::Error.
void GiveUpPowers(const ServingUser& user);

// Makes the calling process the user nobody where it can, without capabilities and without a
// terminal. It then ends with its parent. To be called before there are threads. Throws
// util::Error.
void BecomePowerless();

}  // namespace skopsfs::util
