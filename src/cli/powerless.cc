#include "cli/powerless.h"

#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdlib>

#include "cli/run.h"
#include "fuse/serving_user.h"
#include "util/error.h"

namespace skopsfs::cli {
namespace {

int Number(std::string_view text) {
  int number = -1;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

// Not even those of a root that may not become another user, as in a container.
void GiveUpAllPowers() {
  constexpr uid_t kNobody = 65534;
  if (geteuid() == 0 && setgroups(0, nullptr) == 0 && setresgid(kNobody, kNobody, kNobody) == 0 &&
      setresuid(kNobody, kNobody, kNobody) != 0) {
    throw util::ErrnoError("becoming nobody");
  }
  fuse::DropCapabilities();
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0);
  LeaveTerminal();
}

void EndWithParent() {
  const pid_t parent = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(EXIT_FAILURE);
}

std::pair<int, int> TwoNumbers(std::string_view text) {
  const size_t comma = text.find(',');
  if (comma == text.npos) return {Number(text), -1};
  return {Number(text.substr(0, comma)), Number(text.substr(comma + 1))};
}

}  // namespace skopsfs::cli
