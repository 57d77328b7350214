// The parts of the program that run as a helper of the supervisor, without powers: one answers at
// --metrics-address, one has the kernel drop names.

#include <linux/fuse.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string_view>

#include "cli/run.h"
#include "metrics/http_server.h"
#include "supervisor/metrics_process.h"
#include "util/serving_user.h"
#include "util/unique_fd.h"
#include "worker/sandbox.h"

namespace skopsfs::cli {
namespace {

// The only messages that are handed on. They come from a worker, who may write to /dev/fuse itself.
bool DropsAName(const std::byte* message, size_t size) {
  fuse_out_header header{};
  if (size < sizeof(header)) return false;
  std::memcpy(&header, message, sizeof(header));
  return header.error == FUSE_NOTIFY_INVAL_ENTRY && header.unique == 0 && header.len == size;
}

}  // namespace

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

void RunNotifier(std::pair<int, int> descriptors) {
  const auto [mount, messages] = descriptors;
  prctl(PR_SET_NAME, "skopsfs-notify");
  try {
    util::BecomePowerless();
    if (!worker::kSanitized) worker::RestrictToReadingAndWriting();
  } catch (const std::exception&) {
    _exit(EXIT_FAILURE);
  }
  std::array<std::byte, 1024> message{};
  ssize_t got = 0;
  while ((got = read(messages, message.data(), message.size())) > 0) {
    const auto size = static_cast<size_t>(got);
    if (!DropsAName(message.data(), size)) continue;
    // An error means that the kernel has forgotten the name already.
    if (write(mount, message.data(), size) < 0 && errno == ENODEV) break;
  }
  _exit(EXIT_SUCCESS);
}

}  // namespace skopsfs::cli
