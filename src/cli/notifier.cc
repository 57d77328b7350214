// The part of the program that has the kernel drop names.

#include <linux/fuse.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "cli/run.h"
#include "util/serving_user.h"
#include "worker/sandbox.h"
#include "worker/seccomp_filter.h"

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
