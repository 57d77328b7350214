#include "util/background.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "util/error.h"
#include "util/log.h"
#include "util/unique_fd.h"

namespace skopsfs::util {
namespace {

int WaitUntilReady(int ready_fd, pid_t child) {
  char yes = 0;
  if (TEMP_FAILURE_RETRY(read(ready_fd, &yes, 1)) == 1) return EXIT_SUCCESS;
  int status = 0;
  TEMP_FAILURE_RETRY(waitpid(child, &status, 0));
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
  return code == EXIT_SUCCESS ? EXIT_FAILURE : code;  // it never came up
}

}  // namespace

int RunInBackground(const std::function<int(const std::function<void()>& ready)>& serve) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw ErrnoError("pipe");
  UniqueFd parent_end(ends[0]);
  UniqueFd child_end(ends[1]);
  const pid_t child = fork();
  if (child < 0) throw ErrnoError("fork");
  if (child > 0) {
    child_end.Reset();
    return WaitUntilReady(parent_end.get(), child);
  }
  parent_end.Reset();
  signal(SIGPIPE, SIG_IGN);  // the parent may be gone when we are ready
  std::exit(serve([&] {
    UseSyslog("skopsfs");
    // Not before: an automounter that waits for this mount lets none in but its own process group.
    LeaveTerminal();
    const char yes = 1;
    // If the parent is gone there is nobody left to tell.
    [[maybe_unused]] const auto written = write(child_end.get(), &yes, 1);
    child_end.Reset();
  }));
}

void LeaveTerminal() {
  setsid();
  if (chdir("/") != 0) {
    LogWarning("cannot leave the working directory: {}", std::generic_category().message(errno));
  }
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null.get(), stream);
}

void EndWithParent() {
  const pid_t parent = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(EXIT_FAILURE);
}

}  // namespace skopsfs::util
