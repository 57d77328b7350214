#include "worker/kernel_features.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <vector>

#include "archive/direct_reader.h"
#include "archive/page_cache.h"
#include "handover/session_state.h"
#include "util/unique_fd.h"
#include "worker/sandbox.h"

namespace skopsfs::worker {
namespace {

using util::UniqueFd;

// The kernel's hello to whoever serves a filesystem that is mounted nowhere, and gone at the end.
// Empty when it may not be made. Takes root.
std::vector<std::byte> HelloOfKernel() {
  std::vector<std::byte> hello(FUSE_MIN_READ_BUFFER);
  const UniqueFd filesystem(fsopen("fuse", FSOPEN_CLOEXEC));
  const UniqueFd server(open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  const std::string number = std::to_string(server.get());
  const auto set = [&](const char* key, const char* value) {
    return fsconfig(filesystem.get(), FSCONFIG_SET_STRING, key, value, 0) == 0;
  };
  if (filesystem && server && set("fd", number.c_str()) && set("rootmode", "40000") &&
      set("user_id", "0") && set("group_id", "0") &&
      fsconfig(filesystem.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) {
    // Without it, the hello is empty as well.
    [[maybe_unused]] const auto got = read(server.get(), hello.data(), hello.size());
  }
  return hello;
}

std::optional<bool> Resends() {
  const auto hello = HelloOfKernel();
  fuse_in_header header{};
  std::memcpy(&header, hello.data(), sizeof(header));
  if (header.opcode != FUSE_INIT) return std::nullopt;
  return handover::SessionState::OffersResend(hello);
}

std::string WhyNoDevice() {
  const UniqueFd device(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  return device ? "" : std::generic_category().message(errno);
}

// Asked of no file, it says so only where there is such a call.
bool HasCacheStat() {
  return syscall(archive::kCacheStat, -1, nullptr, nullptr, 0) < 0 && errno == EBADF;
}

}  // namespace

KernelFeatures FindKernelFeatures() {
  utsname name{};
  uname(&name);
  const UniqueFd program(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  return {.release = name.release,
          .device = WhyNoDevice(),
          .resend = Resends(),
          .landlock = LandlockVersion(),
          .cachestat = HasCacheStat(),
          .direct = program && archive::DirectFile::IsPossible(program.get())};
}

}  // namespace skopsfs::worker
