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

#include "cli/run.h"
#include "metrics/http_server.h"
#include "util/unique_fd.h"

namespace skopsfs::cli {
namespace {

// It needs no file and no power, so it keeps none.
void GiveUpPowers() {
  constexpr uid_t kNobody = 65534;
  if (geteuid() == 0 && setgroups(0, nullptr) == 0 && setresgid(kNobody, kNobody, kNobody) == 0 &&
      setresuid(kNobody, kNobody, kNobody) != 0) {
    _exit(EXIT_FAILURE);
  }
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (chdir("/") != 0) _exit(EXIT_FAILURE);
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

void RunMetricsServer(std::string_view descriptors, std::string_view address) {
  const size_t comma = descriptors.find(',');
  const util::UniqueFd memory(Number(descriptors.substr(0, comma)));
  util::UniqueFd waiting(comma == std::string_view::npos ? -1
                                                         : Number(descriptors.substr(comma + 1)));
  prctl(PR_SET_NAME, "skopsfs-metrics");
  GiveUpPowers();
  EndWithParent();  // becoming another user forgets it
  try {
    const metrics::SharedCounters counters(memory, metrics::SharedCounters::Access::kRead);
    const metrics::HttpServer server(metrics::ParseAddress(address), *counters, ThisVersion());
    waiting.Reset();
    while (true) pause();
  } catch (const std::exception& error) {
    const std::string reason = error.what();
    if (write(waiting.get(), reason.data(), reason.size()) < 0) _exit(EXIT_FAILURE);
    _exit(EXIT_FAILURE);
  }
}

}  // namespace skopsfs::cli
