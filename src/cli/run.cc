#include "cli/run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "cli/going_on.h"
#include "cli/user.h"
#include "source/source.h"
#include "supervisor/execute.h"
#include "supervisor/mountpoint.h"
#include "supervisor/program_replacement.h"
#include "supervisor/service_status.h"
#include "supervisor/service_store.h"
#include "supervisor/stored_state.h"
#include "supervisor/supervisor.h"
#include "util/background.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/log.h"
#include "util/serving_user.h"
#include "zip/end_record.h"
#include "zip/format.h"

namespace skopsfs::cli {
namespace {

using Outcome = supervisor::Supervisor::Outcome;

// Raises a limit as far as it goes. Refuses one with which a mount would come up, and then fail at
// whatever it is asked.
void RaiseLimit(int resource, rlim_t least = 0, rlim_t unit = 1, std::string_view of = "",
                std::string_view names = "") {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0) throw util::ErrnoError("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  setrlimit(resource, &limit);
  if (limit.rlim_cur / unit >= least) return;
  throw util::Error(ENOMEM,
                    fmt::format("the limit of {} {} is too low, {} are needed: raise it ({})",
                                limit.rlim_cur / unit, of, least, names));
}

// Each archive that is open takes a descriptor, in the supervisor and in the worker, and each has
// others. A worker has up to 63 threads, and maps 2 GiB, the records of all slots. Memory that
// processes share is a file to the kernel.
void RaiseLimits() {
  constexpr rlim_t kMebibyte = 1 << 20;
  RaiseLimit(RLIMIT_NOFILE, 64, 1, "descriptors", "ulimit -n, LimitNOFILE");
  RaiseLimit(RLIMIT_DATA, 256, kMebibyte, "MiB of memory", "ulimit -d, LimitDATA");
  RaiseLimit(RLIMIT_AS, 3072, kMebibyte, "MiB of addresses", "ulimit -v, LimitAS");
  RaiseLimit(RLIMIT_FSIZE);
  constexpr rlimit kNone{RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_FSIZE, &kNone);  // root may
}

void WarnOfFewDescriptors() {
  constexpr rlim_t kFew = 512;
  rlimit descriptors{};
  if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0 && descriptors.rlim_cur < kFew) {
    util::LogWarning(
        "the limit of {} descriptors is low, {} archives can be open at the same time: "
        "raise it to 1024 at least (ulimit -n, LimitNOFILE)",
        descriptors.rlim_cur, descriptors.rlim_cur / 2);
  }
}

// A single archive is looked at again and again; behind a link that leads through the mountpoint
// that would be a question to ourselves.
void RefuseToWaitForItself(const source::Source& source, const std::string& mountpoint) {
  if (!source.is_single_archive() || !std::filesystem::is_symlink(source.path())) return;
  if (!supervisor::LiesInside(source.path(), mountpoint) &&
      !supervisor::LiesInside(source.canonical_path(), mountpoint)) {
    return;
  }
  throw util::Error(EINVAL, fmt::format("source {} is a link below the mountpoint {}: name what "
                                        "it leads to, or the mount would wait for itself",
                                        util::Quoted(source.path()), util::Quoted(mountpoint)));
}

// Else a mistyped path would be mounted as an archive that cannot be opened. Nothing is parsed
// here: the worker does that, which has no powers. Looked at as the user who will serve.
void RefuseWhatIsNoZip(const source::Source& source, const util::ServingUser& user,
                       bool is_sandboxed) {
  constexpr size_t kTail = zip::kEndRecordSize + zip::kLongestComment;
  constexpr auto kSignature = zip::kEndRecordSignature;  // little-endian, as this machine is
  if (!source.is_single_archive()) return;
  std::optional<util::AsUser> as_user;
  if (geteuid() == 0 && is_sandboxed && !user.stays) as_user.emplace(user.ids);
  const auto found = source.OpenRoot();
  const auto file = source::Source::OpenForReading(found);
  std::vector<char> tail(kTail);
  const auto size = std::max<off_t>(found.st.st_size - static_cast<off_t>(kTail), 0);
  const ssize_t got = pread(file.get(), tail.data(), tail.size(), size);
  if (got < 0) throw util::ErrnoError("source " + util::Quoted(source.path()));
  if (memmem(tail.data(), static_cast<size_t>(got), &kSignature, sizeof(kSignature)) != nullptr) {
    return;
  }
  std::array<char, zip::kTellingBytes> begin;
  const ssize_t telling = pread(file.get(), begin.data(), begin.size(), 0);
  throw util::Error(
      EINVAL, fmt::format("source {}: {}", util::Quoted(source.path()),
                          zip::WhyNoArchive(
                              {begin.data(), static_cast<size_t>(std::max<ssize_t>(telling, 0))})));
}

// As it is when the two paths were given the wrong way round.
bool HasNothingToShow(const source::Source& source) {
  try {
    return !source.is_single_archive() && source.List(source.OpenRoot()).empty();
  } catch (const util::Error&) {  // nobody knows: only the user who will serve may look
    return false;
  }
}

void RefuseToHide(const source::Source& source, const std::string& mountpoint) {
  const auto name = supervisor::AnyNameIn(mountpoint);
  if (!name) return;
  throw util::Error(
      ENOTEMPTY,
      fmt::format("mountpoint {} is not empty, it has {}: name an empty folder, or insist with -o "
                  "nonempty{}",
                  util::Quoted(mountpoint), util::Quoted(*name),
                  HasNothingToShow(source)
                      ? "; source " + util::Quoted(source.path()) +
                            " has nothing to show: SOURCE comes first, then MOUNTPOINT"
                      : ""));
}

std::string FreeMountpoint(const source::Source& source, const std::string& path, bool may_hide) {
  std::string mountpoint = supervisor::PrepareMountpoint(path);
  if (mountpoint == source.canonical_path()) {
    throw util::Error(EINVAL, fmt::format("mountpoint {} is the source itself: choose another "
                                          "folder, or its archives would be hidden",
                                          util::Quoted(mountpoint)));
  }
  if (supervisor::LiesInside(mountpoint, source.canonical_path())) {
    throw util::Error(EINVAL, fmt::format("mountpoint {} lies inside the source {}: choose one "
                                          "outside, or the mount would show itself",
                                          util::Quoted(mountpoint), util::Quoted(source.path())));
  }
  RefuseToWaitForItself(source, mountpoint);
  if (!may_hide) RefuseToHide(source, mountpoint);
  return mountpoint;
}

Outcome Serve(const Options& options, const std::vector<std::string>& arguments,
              const std::function<void()>& on_ready) {
  RaiseLimits();
  const auto passed = supervisor::PassedDescriptor(options.mountpoint);
  if (!passed) {  // which may be one that the service manager has opened
    supervisor::StoredState stored;
    if (!stored.empty()) {
      const auto outcome = GoOnWithStored(stored, options, arguments, on_ready);
      if (outcome) return *outcome;
    }
  }
  // The next start could take from the store what another server has got meanwhile.
  if (!options.handover.empty()) unsetenv(supervisor::kStoreVariable);
  const auto [source, user] = OpenSource(options);
  RefuseWhatIsNoZip(source, user, options.sandbox);
  auto listener = util::UniqueFd();
  const supervisor::Supervisor::WorkerOptions worker = {
      .arguments = arguments, .user = user, .timeout = TimeoutOf(options)};
  if (!options.handover.empty()) {
    auto followed = FollowOrListen(options, source);
    if (followed.state) return GoOnWith(std::move(followed), options, source, worker, on_ready);
    listener = std::move(followed.listener);
  }
  const auto mountpoint =
      passed ? options.mountpoint : FreeMountpoint(source, options.mountpoint, options.nonempty);
  util::SetLogSubject(util::Quoted(mountpoint) + ": ");
  if (options.verify_word_is_old) {
    util::LogWarning("--verify=open is now called --verify=read, and means the same");
  }
  WarnOfFewDescriptors();
  supervisor::Supervisor supervisor(source,
                                    {.mountpoint = mountpoint,
                                     .source = source.path(),
                                     .options = options.mount_options,
                                     .passed = passed,
                                     .read_ahead = options.read_ahead,
                                     .has_links = options.by_name},
                                    worker, options.metrics_address, std::move(listener),
                                    [&on_ready, &mountpoint, path = source.path()] {
                                      on_ready();
                                      SayServing(path, mountpoint);
                                    });
  return supervisor.Run();
}

// Else a descriptor of ours could get the number of a stream that was closed, and be taken for it.
void OccupyStandardStreams() {
  int fd = 0;
  while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO) {
  }
  if (fd > STDERR_FILENO) close(fd);
}

// What supervisor::Execute() gives a process of that kind, and takes it from the arguments: one
// descriptor or two, -1 for what is none. Nothing for another kind of process.
std::optional<std::pair<int, int>> TakeDescriptors(std::span<const char* const>& arguments,
                                                   std::string_view kind) {
  if (arguments.empty() || !std::string_view(arguments[0]).starts_with(kind)) return std::nullopt;
  std::pair descriptors(-1, -1);
  std::sscanf(arguments[0] + kind.size(), "%d,%d", &descriptors.first, &descriptors.second);
  arguments = arguments.subspan(1);
  return descriptors;
}

int Explained(const std::function<Outcome()>& serve) {
  try {
    const auto outcome = serve();
    if (outcome == Outcome::kHandedOver) supervisor::Supervisor::WaitForEnd();
    return outcome == Outcome::kGivenUp ? kExitFailure : EXIT_SUCCESS;
  } catch (const std::exception& error) {
    util::LogError("{}", error.what());
    supervisor::ServiceManager().Status(error.what());
    return kExitFailure;
  }
}

}  // namespace

int Run(std::span<const char* const> arguments) {
  if (const auto given = TakeDescriptors(arguments, supervisor::kMetricsProcess)) {
    RunMetricsServer(*given, arguments);
  }
  if (const auto given = TakeDescriptors(arguments, supervisor::kNotifierProcess))
    RunNotifier(*given);
  const auto worker = TakeDescriptors(arguments, supervisor::kWorkerProcess);
  const auto check = TakeDescriptors(arguments, supervisor::kStateCheckProcess);
  const auto supervisor = TakeDescriptors(arguments, supervisor::kSupervisorProcess);
  Options options;
  try {
    options = ParseOptions(arguments);
  } catch (const UsageError& error) {
    fmt::print(stderr, "skopsfs: {} (see skopsfs --help)\n", error.what());
    if (supervisor) {
      supervisor::WayBack(*supervisor, {arguments.begin(), arguments.end()}).Go();
    }
    supervisor::StoredState().Abandon();
    return kExitUsage;
  }
  if (options.help) {
    fmt::print("{}", Usage());
    return EXIT_SUCCESS;
  }
  if (options.version) {
    fmt::print("{}", VersionText());
    return EXIT_SUCCESS;
  }
  util::KeepTimeZone();
  // A log that nobody reads any more is no reason to end.
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // nor one that has become too large
  signal(SIGIO, SIG_IGN);    // see archive/writer_detector.h
  OccupyStandardStreams();
  if (worker) RunWorker(worker->first, options);
  if (check) supervisor::ProgramReplacement::Answer(check->first, check->second);
  const std::vector<std::string> words(arguments.begin(), arguments.end());
  if (supervisor) return Explained([&] { return GoOn(*supervisor, options, words); });
  if (getpid() == 1) supervisor::Supervisor::HoldSignals();  // the first process of a container
  if (options.foreground) return Explained([&] { return Serve(options, words, [] {}); });
  // The service of whoever waits for a service is what stays in front.
  supervisor::ServiceManager::Leave();
  return util::RunInBackground([&](const std::function<void()>& ready) {
    return Explained([&] { return Serve(options, words, ready); });
  });
}

}  // namespace skopsfs::cli
