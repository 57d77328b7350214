// The part of the program that answers at --metrics-address.

#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>

#include "cli/run.h"
#include "metrics/http_server.h"
#include "supervisor/metrics_process.h"
#include "util/serving_user.h"
#include "util/unique_fd.h"
#include "worker/sandbox.h"

namespace skopsfs::cli {

void RunMetricsServer(std::pair<int, int> descriptors, std::span<const char* const> arguments) {
  // An older supervisor gives fewer.
  const auto argument = [&](size_t i) {
    return i < arguments.size() ? std::string_view(arguments[i]) : std::string_view();
  };
  const util::UniqueFd memory(descriptors.first);
  util::UniqueFd waiting(descriptors.second);
  prctl(PR_SET_NAME, "skopsfs-metrics");
  const auto say = [&](std::string_view text) {
    if (write(waiting.get(), text.data(), text.size()) < 0) _exit(EXIT_FAILURE);
    waiting.Reset();
  };
  try {
    util::BecomePowerless();
    const handover::SharedCounters counters(memory, handover::SharedCounters::Access::kRead);
    metrics::HttpServer server(metrics::ParseAddress(argument(0)), *counters,
                               {ThisVersion(), std::string(argument(1)), std::string(argument(2))});
    worker::EnterMetricsSandbox();
    say(supervisor::kMetricsServed);
    server.Run();
    _exit(EXIT_SUCCESS);
  } catch (const std::exception& error) {
    say(error.what());
    _exit(EXIT_FAILURE);
  }
}

}  // namespace skopsfs::cli
