#include "cli/metrics_server.h"

#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string>
#include <string_view>

#include "cli/run.h"
#include "fuse/metrics_process.h"
#include "fuse/serving_user.h"
#include "metrics/http_server.h"
#include "util/error.h"
#include "util/unique_fd.h"

namespace skopsfs::cli {
namespace {

// It needs no file and no power, so it keeps none: not even those of a root that may not become
// another user, as in a container.
void GiveUpPowers() {
  constexpr uid_t kNobody = 65534;
  if (geteuid() == 0 && setgroups(0, nullptr) == 0 && setresgid(kNobody, kNobody, kNobody) == 0 &&
      setresuid(kNobody, kNobody, kNobody) != 0) {
    throw util::ErrnoError("becoming nobody to serve metrics");
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

int Number(std::string_view text) {
  int number = -1;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

void RunMetricsServer(std::span<const char* const> arguments) {
  // An older supervisor gives fewer.
  const auto argument = [&](size_t i) {
    return i < arguments.size() ? std::string_view(arguments[i]) : std::string_view();
  };
  const auto descriptors = argument(0).substr(std::string_view(fuse::kMetricsServer).size());
  const size_t comma = descriptors.find(',');
  const util::UniqueFd memory(Number(descriptors.substr(0, comma)));
  util::UniqueFd waiting(comma == std::string_view::npos ? -1
                                                         : Number(descriptors.substr(comma + 1)));
  prctl(PR_SET_NAME, "skopsfs-metrics");
  const auto say = [&](std::string_view text) {
    if (write(waiting.get(), text.data(), text.size()) < 0) _exit(EXIT_FAILURE);
    waiting.Reset();
  };
  try {
    GiveUpPowers();
    EndWithParent();  // becoming another user forgets it
    const metrics::SharedCounters counters(memory, metrics::SharedCounters::Access::kRead);
    metrics::HttpServer server(metrics::ParseAddress(argument(1)), *counters,
                               {ThisVersion(), std::string(argument(2)), std::string(argument(3))});
    say(fuse::kMetricsServed);
    server.Run();
    _exit(EXIT_SUCCESS);
  } catch (const std::exception& error) {
    say(error.what());
    _exit(EXIT_FAILURE);
  }
}

}  // namespace skopsfs::cli
