#include "util/serving_user.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>

#include "util/background.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::util {
namespace {

// While it is still allowed to, so before becoming another user.
void DropCapabilitiesOfPrograms() {
  for (unsigned long capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);  // only who has CAP_SETPCAP can, and need
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

void DropCapabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> none{};
  if (syscall(SYS_capset, &header, none.data()) != 0) throw ErrnoError("dropping capabilities");
}

}  // namespace

AsUser::AsUser(const UserIds& user) : uid_(geteuid()), gid_(getegid()) {
  groups_.resize(static_cast<size_t>(std::max(getgroups(0, nullptr), 0)));
  if (getgroups(static_cast<int>(groups_.size()), groups_.data()) < 0)
    throw ErrnoError("getgroups");
  prctl(PR_GET_PDEATHSIG, &end_with_parent_);
  dumpable_ = prctl(PR_GET_DUMPABLE);
  if (setgroups(1, &user.gid) == 0 && setegid(user.gid) == 0 && seteuid(user.uid) == 0) return;
  BecomeAgain();
  throw Error(EPERM, "this root may not become another user");
}

AsUser::~AsUser() { BecomeAgain(); }

void AsUser::BecomeAgain() const {
  const bool is_again = seteuid(uid_) == 0 && setegid(gid_) == 0;
  // Who may not set the groups has not.
  if (!is_again || (setgroups(groups_.size(), groups_.data()) != 0 && errno != EPERM)) {
    LogError("cannot become root again: {}", std::generic_category().message(errno));
    _exit(EXIT_FAILURE);
  }
  prctl(PR_SET_PDEATHSIG, end_with_parent_);
  prctl(PR_SET_DUMPABLE, dumpable_ == 1 ? 1 : 0);
}

void GiveUpPowers(const ServingUser& user) {
  DropCapabilitiesOfPrograms();
  if (geteuid() == 0 && !user.stays) {
    const auto [uid, gid] = user.ids;
    if (setgroups(1, &gid) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0) {
      throw ErrnoError("becoming the user who serves");
    }
  }
  DropCapabilities();
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // becoming another user has taken it away
}

// Without powers, even those of a root that may not become another user, as in a container.
void BecomePowerless() {
  constexpr uid_t kNobody = 65534;
  if (geteuid() == 0 && setgroups(0, nullptr) == 0 && setresgid(kNobody, kNobody, kNobody) == 0 &&
      setresuid(kNobody, kNobody, kNobody) != 0) {
    throw ErrnoError("becoming nobody");
  }
  DropCapabilities();
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0);
  LeaveTerminal();
  EndWithParent();
}

}  // namespace skopsfs::util
