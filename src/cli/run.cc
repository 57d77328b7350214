#include "cli/run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <functional>

#include "cli/options.h"
#include "fs/file_system.h"
#include "fuse/background.h"
#include "fuse/mountpoint.h"
#include "fuse/session.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::cli {
namespace {

// Raises the limit on descriptors as far as it goes; returns how many archives may be open at once.
size_t DescriptorBudget() {
  constexpr rlim_t kOthers = 256;  // folders being listed, the session, what threads hold briefly
  constexpr rlim_t kMost = 65536;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) throw util::ErrnoError("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t left = limit.rlim_cur > 2 * kOthers ? limit.rlim_cur - kOthers : limit.rlim_cur / 2;
  return std::min(left, kMost);
}

// A single archive is looked at again and again; behind a link that leads through the mountpoint
// that would be a question to ourselves.
void RefuseToWaitForItself(const catalog::Source& source, const std::string& mountpoint) {
  if (!source.is_single_archive() || !std::filesystem::is_symlink(source.path())) return;
  if (!fuse::LiesInside(source.path(), mountpoint) &&
      !fuse::LiesInside(source.canonical_path(), mountpoint)) {
    return;
  }
  throw util::Error(EINVAL, fmt::format("source {} is a link below the mountpoint {}",
                                        util::Quoted(source.path()), util::Quoted(mountpoint)));
}

int Serve(const Options& options, const std::function<void()>& on_ready) {
  fs::FileSystem file_system(options.source, {.revalidate = options.revalidate,
                                              .budget = {.descriptors = DescriptorBudget()}});
  const catalog::Source& source = file_system.catalog().source();
  const std::string mountpoint = fuse::PrepareMountpoint(options.mountpoint);
  if (fuse::LiesInside(mountpoint, source.canonical_path())) {
    throw util::Error(EINVAL, fmt::format("mountpoint {} lies inside the source {}",
                                          util::Quoted(mountpoint), util::Quoted(source.path())));
  }
  RefuseToWaitForItself(source, mountpoint);
  fuse::Session session(file_system,
                        {.mountpoint = mountpoint,
                         .source = source.path(),
                         .options = options.mount_options,
                         .debug = options.debug},
                        on_ready);
  session.Mount();
  session.Run();
  return EXIT_SUCCESS;
}

// Else a descriptor of ours could get the number of a stream that was closed, and be taken for it.
void OccupyStandardStreams() {
  int fd = 0;
  while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO) {
  }
  if (fd > STDERR_FILENO) close(fd);
}

int ServeOrExplain(const Options& options, const std::function<void()>& on_ready) {
  try {
    return Serve(options, on_ready);
  } catch (const std::exception& error) {
    util::LogError("{}", error.what());
    return kExitFailure;
  }
}

}  // namespace

int Run(std::span<const char* const> arguments) {
  Options options;
  try {
    options = ParseOptions(arguments);
  } catch (const UsageError& error) {
    fmt::print(stderr, "skopsfs: {} (see skopsfs --help)\n", error.what());
    return kExitUsage;
  }
  if (options.help) {
    fmt::print("{}", Usage());
    return EXIT_SUCCESS;
  }
  if (options.version) {
    fmt::print("skopsfs {}\nlibfuse {}\n", SKOPSFS_VERSION, fuse::LibraryVersion());
    return EXIT_SUCCESS;
  }
  // Named, or else each conversion of a DOS time would look whether /etc/localtime has changed.
  setenv("TZ", ":/etc/localtime", 0);
  tzset();
  // A log that nobody reads any more is no reason to end.
  signal(SIGPIPE, SIG_IGN);
  signal(SIGIO, SIG_IGN);  // see archive/writers.h
  OccupyStandardStreams();
  if (options.foreground) return ServeOrExplain(options, [] {});
  return fuse::RunInBackground(
      [&](const std::function<void()>& ready) { return ServeOrExplain(options, ready); });
}

}  // namespace skopsfs::cli
