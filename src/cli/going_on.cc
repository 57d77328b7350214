#include "cli/going_on.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <new>
#include <thread>

#include "cli/user.h"
#include "supervisor/handover_socket.h"
#include "supervisor/mountpoint.h"
#include "supervisor/program_replacement.h"
#include "util/background.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::cli {
namespace {

using handover::SupervisorState;
using supervisor::Supervisor;

supervisor::MountOptions MountOf(const SupervisorState& state, const Options& options) {
  return {.mountpoint = state.mountpoint,
          .source = state.source_path,
          .options = options.mount_options,
          .passed = state.is_passed ? std::optional(state.fuse) : std::nullopt,
          .read_ahead = options.read_ahead,
          .has_links = options.by_name};
}

// Without memory for that it tries again, as nobody else is there.
void TakeOver(std::pair<int, int> given, const Options& options,
              const std::vector<std::string>& arguments, std::optional<Supervisor>& supervisor,
              std::optional<supervisor::WayBack>& way_back) try {
  const auto [memory, old_program] = given;
  const auto state = SupervisorState::FromExecuted(handover::ReadSealedMemory(memory));
  util::SetLogSubject(util::Quoted(state.mountpoint) + ": ");
  supervisor.emplace(state, MountOf(state, options),
                     Supervisor::WorkerOptions{
                         .arguments = arguments,
                         .user = {.ids = {state.user, state.group}, .stays = state.user_stays},
                         .timeout = TimeoutOf(options)},
                     options.metrics_address);
  way_back.reset();
  if (old_program >= 0) {
    util::LogInfo("the supervisor is the new program, too");
    close(old_program);
  } else {
    util::LogInfo("the supervisor is the old program again, as the new one did not take over");
  }
  state.CloseDuplicated();
  close(memory);
} catch (const std::bad_alloc&) {
  constexpr auto kPause = std::chrono::milliseconds(100);
  util::LogError("the supervisor is out of memory; it tries again");
  std::this_thread::sleep_for(kPause);
}

// The state as far as it is another one for a process that sees the same mount at another place,
// and has opened the source by itself.
void Adopt(SupervisorState& state, const std::optional<supervisor::FoundMount>& found,
           const std::string& mountpoint) {
  state.program_path = std::filesystem::read_symlink("/proc/self/exe").string();
  state.mountpoint = mountpoint;
  state.mount_id.reset();
  state.mount_device.reset();
  state.unique_mount_id.reset();
  if (found && !state.is_passed) {
    state.mount_id = found->id;
    state.mount_device = found->device;
    state.unique_mount_id = found->unique_id;
  }
}

void UseOwnSource(SupervisorState& state, const supervisor::MountOptions& mount,
                  const source::Source& source) {
  if (source.is_single_archive() != state.is_single_archive) {
    throw util::Error(EINVAL, "the source is not a folder any more, or no archive");
  }
  close(state.source);
  close(state.canonical_source);
  const supervisor::SharedSource own(source, mount);
  own.SaveTo(state);
  state.source = util::Duplicate(state.source).Release();
  state.canonical_source = util::Duplicate(state.canonical_source).Release();
}

// Has `supervisor` go on with what the service manager has stored, if it can.
void TakeStored(supervisor::StoredState& stored, const Options& options,
                const std::vector<std::string>& arguments, const std::function<void()>& on_ready,
                std::optional<Supervisor>& supervisor) try {
  auto state = stored.Read(options.mountpoint, arguments);
  util::SetLogSubject(util::Quoted(state.mountpoint) + ": ");
  const auto [source, user] = OpenSource(options);
  const auto parts = source.Share();
  if (parts.is_single_archive != state.is_single_archive) {
    throw util::Error(EINVAL, "the source is not a folder any more, or no archive");
  }
  std::error_code failed;
  state.program_path = std::filesystem::read_symlink("/proc/self/exe", failed).string();
  state.source_path = parts.path;
  state.canonical_source_path = parts.canonical_path;
  state.source = parts.folder.get();
  state.canonical_source = parts.canonical_folder.get();
  supervisor.emplace(state, MountOf(state, options),
                     Supervisor::WorkerOptions{
                         .arguments = arguments, .user = user, .timeout = TimeoutOf(options)},
                     options.metrics_address, std::nullopt, [&stored, on_ready] {
                       stored.IsServed();
                       on_ready();
                       util::LogInfo("going on with the mount that the service manager has stored");
                     });
  stored.IsGoneOnWith();
} catch (const util::Error& error) {
  util::LogWarning(
      "the mount that the service manager has stored is not gone on with: {}; it is mounted anew",
      error.what());
  stored.Abandon();
}

}  // namespace

void SayServing(const std::string& source, const std::string& mountpoint) {
  util::LogInfo("serving {} at {}, skopsfs {}", util::Quoted(source), util::Quoted(mountpoint),
                SKOPSFS_VERSION);
}

std::chrono::milliseconds TimeoutOf(const Options& options) {
  return std::chrono::milliseconds(static_cast<int64_t>(1000 * options.worker_timeout));
}

Supervisor::Outcome GoOn(std::pair<int, int> given, const Options& options,
                         const std::vector<std::string>& arguments) {
  if (!options.foreground) util::UseSyslog("skopsfs");
  std::optional<Supervisor> supervisor;
  std::optional<supervisor::WayBack> way_back(std::in_place, given, arguments);
  try {
    while (!supervisor) TakeOver(given, options, arguments, supervisor, way_back);
  } catch (const std::exception& error) {
    util::LogError("the new program cannot take over: {}", error.what());
    way_back->Go();
    return Supervisor::Outcome::kGivenUp;
  }
  return supervisor->Run();
}

std::optional<Supervisor::Outcome> GoOnWithStored(supervisor::StoredState& stored,
                                                  const Options& options,
                                                  const std::vector<std::string>& arguments,
                                                  const std::function<void()>& on_ready) {
  std::optional<Supervisor> supervisor;
  TakeStored(stored, options, arguments, on_ready, supervisor);
  if (!supervisor) return std::nullopt;
  return supervisor->Run();
}

Followed FollowOrListen(const Options& options, const source::Source& source) {
  constexpr auto kPause = std::chrono::milliseconds(100);
  for (;; std::this_thread::sleep_for(kPause)) {
    auto meeting = supervisor::MeetAt(options.handover);
    if (!meeting.predecessor) return {.listener = std::move(meeting.listener)};
    Followed followed{.predecessor = supervisor::Predecessor(std::move(*meeting.predecessor))};
    if (!followed.predecessor->WaitForMount()) continue;
    // Of a passed one nobody knows the place.
    std::error_code failed;
    followed.mountpoint = options.mountpoint;
    if (!supervisor::PassedDescriptor(options.mountpoint)) {
      const auto canonical = std::filesystem::canonical(options.mountpoint, failed).string();
      if (!failed) followed.mountpoint = canonical;
    }
    if (source.canonical_path() == followed.mountpoint ||
        supervisor::LiesInside(source.canonical_path(), followed.mountpoint)) {
      throw util::Error(EINVAL, fmt::format("source {} lies in the mount that is to be taken over",
                                            util::Quoted(source.path())));
    }
    const auto found = supervisor::TopMount(followed.mountpoint);
    followed.state = followed.predecessor->AskForState(found ? found->device : 0, source.path());
    if (!followed.state) continue;
    Adopt(*followed.state, found, followed.mountpoint);
    return followed;
  }
}

Supervisor::Outcome GoOnWith(Followed followed, const Options& options,
                             const source::Source& source, const Supervisor::WorkerOptions& worker,
                             const std::function<void()>& on_ready) {
  auto& state = *followed.state;
  util::SetLogSubject(util::Quoted(state.mountpoint) + ": ");
  const auto mount = MountOf(state, options);
  UseOwnSource(state, mount, source);
  Supervisor supervisor(state, mount, worker, options.metrics_address,
                        std::move(followed.predecessor), [&on_ready, &state] {
                          on_ready();
                          SayServing(state.source_path, state.mountpoint);
                        });
  state.CloseDuplicated();
  return supervisor.Run();
}

}  // namespace skopsfs::cli
