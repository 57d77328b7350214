#include "cli/powerless.h"

#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fuse/background.h"
#include "fuse/serving_user.h"
#include "util/error.h"

namespace skopsfs::cli {

// Without powers, even those of a root that may not become another user, as in a container.
void BecomePowerless() {
  constexpr uid_t kNobody = 65534;
  if (geteuid() == 0 && setgroups(0, nullptr) == 0 && setresgid(kNobody, kNobody, kNobody) == 0 &&
      setresuid(kNobody, kNobody, kNobody) != 0) {
    throw util::ErrnoError("becoming nobody");
  }
  fuse::DropCapabilities();
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0);
  fuse::LeaveTerminal();
  fuse::EndWithParent();
}

}  // namespace skopsfs::cli
