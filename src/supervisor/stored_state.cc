#include "supervisor/stored_state.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "supervisor/mount.h"
#include "supervisor/mountpoint.h"
#include "supervisor/notify_socket.h"
#include "supervisor/service_store.h"
#include "util/error.h"
#include "util/log.h"
#include "util/number.h"

namespace skopsfs::supervisor {
namespace {

using handover::SupervisorState;
using util::Error;
using util::UniqueFd;

constexpr std::string_view kStoredStart = "start-";
constexpr size_t kMostStarts = 10;
constexpr auto kPatience = std::chrono::seconds(5);  // with a manager that is to forget

// Of what is mounted there its server is not asked, as nobody serves it.
std::string CanonicalWithoutAsking(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_PATH | O_CLOEXEC));
  std::error_code failed;
  return std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", fd.get()), failed).string();
}

std::optional<FoundMount> FoundIn(const SupervisorState& state) {
  if (!state.mount_id || !state.mount_device) return std::nullopt;
  return FoundMount{*state.mount_id, *state.mount_device, state.unique_mount_id};
}

bool IsMemory(int fd) { return fcntl(fd, F_GET_SEALS) >= 0; }
bool IsSocket(int fd) {
  struct stat st {};
  return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

void CheckKinds(const SupervisorState& state) {
  if (!IsMemory(state.session) || !IsMemory(state.slots) || !IsMemory(state.counters) ||
      !IsSocket(state.notification_sender) || !IsSocket(state.notification_receiver)) {
    throw Error(EPROTO, "a descriptor is not what its name says");
  }
}

void CheckMount(const SupervisorState& state) {
  const auto found = FoundIn(state);
  // As if it was passed: then these objects leave it alone.
  const MountOptions options{
      .mountpoint = state.mountpoint, .source = {}, .options = {}, .passed = state.fuse};
  const Mount connection(options, util::Duplicate(state.fuse), std::nullopt);
  const Mount mount(options, util::Duplicate(state.fuse), found);
  const dev_t device = connection.device();
  if (device != 0 && found && device != found->device)
    throw Error(EPROTO, "the descriptor is of another mount");
  if (!mount.IsConnected()) throw Error(EPROTO, "it is no longer mounted");
  if (!mount.IsThere()) throw Error(EPROTO, "something else is mounted there, or nothing");
}

}  // namespace

StoredState::StoredState() {
  char** names = nullptr;
  const int count = sd_listen_fds(0);
  const int named = sd_listen_fds_with_names(1, &names);
  for (int i = 0; i < count; ++i) {
    const std::string name = i < named ? names[i] : "";
    unread_.insert(name);
    all_.emplace(name, UniqueFd(SD_LISTEN_FDS_START + i));
  }
  for (int i = 0; i < named; ++i) free(names[i]);
  free(names);
}

void StoredState::ReadFacts() {
  std::vector<std::pair<uint64_t, int>> found;
  for (const auto& [name, fd] : all_) {
    if (!name.starts_with(kStoredFacts)) continue;
    const auto number =
        util::ParseNumber<uint64_t>(std::string_view(name).substr(kStoredFacts.size()));
    if (number) found.emplace_back(*number, fd.get());
  }
  if (found.empty()) throw Error(EPROTO, "there are no facts of it");
  // The latest that are complete.
  std::ranges::sort(found, std::greater());
  for (const auto& [number, fd] : found) try {
      facts_ = SupervisorState::FromFacts(handover::ReadSealedMemory(fd));
      facts_->stored_facts = number;
      unread_.erase(fmt::format("{}{}", kStoredFacts, number));
      return;
    } catch (const Error&) {
      if (number == found.back().first) throw;
    }
}

void StoredState::ReadKept(SupervisorState& state) {
  std::set<uint64_t> numbers;
  for (auto& [name, fd] : all_) {
    if (!name.starts_with(kStoredKept)) continue;
    const auto parts = std::string_view(name).substr(kStoredKept.size());
    const auto dash = std::min(parts.find('-'), parts.size() - 1);
    const auto number = util::ParseNumber<uint64_t>(parts.substr(0, dash), 16);
    const auto slot = util::ParseNumber<uint64_t>(parts.substr(dash + 1), 16);
    if (!number || !slot || !numbers.insert(*number).second) continue;
    state.kept.push_back({.number = *number, .slot = *slot});
    state.kept_descriptors.push_back(kept_.emplace_back(std::move(fd)).get());
    unread_.erase(name);
  }
}

SupervisorState StoredState::Read(const std::string& mountpoint,
                                  const std::vector<std::string>& arguments) {
  ReadFacts();
  auto state = *facts_;
  if (state.mountpoint != CanonicalWithoutAsking(mountpoint)) {
    throw Error(EPROTO, "it was mounted at " + util::Quoted(state.mountpoint));
  }
  if (state.arguments != arguments)
    throw Error(EPROTO, "skopsfs was started with other options then");
  if (!state.kernel_resends) throw Error(EPROTO, "this kernel is older than 6.9");
  for (const auto& path : {state.source_path, state.canonical_source_path}) {
    if (path == state.mountpoint || LiesInside(path, state.mountpoint)) {
      throw Error(EPROTO, "it hides its source");
    }
  }
  for (const auto& [name, fd] : kStoredDescriptors) {
    const auto [first, last] = all_.equal_range(std::string(name));
    if (std::distance(first, last) != 1) {
      throw Error(EPROTO,
                  fmt::format("there are {} descriptors {}", std::distance(first, last), name));
    }
    state.*fd = first->second.get();
  }
  CheckKinds(state);
  CheckMount(state);
  CountStart();
  ReadKept(state);
  ++state.generation;  // a worker of the next one may have begun
  state.worker_pid.reset();
  state.left_behind.clear();
  state.is_followed = false;
  return state;
}

// In the store, where a supervisor that crashes leaves it.
void StoredState::CountStart() {
  for (const auto& name : unread_) {
    if (name.starts_with(kStoredStart)) starts_.insert(name);
  }
  for (const auto& name : starts_) unread_.erase(name);
  if (starts_.size() >= kMostStarts) {
    throw Error(EPROTO, "ten starts that went on with it did not serve");
  }
  const auto name = fmt::format("{}{}", kStoredStart, starts_.size());
  const auto memory = handover::SealedMemory("");  // each has to be another file
  NotifySocket().TrySend("FDSTORE=1\nFDPOLL=0\nFDNAME=" + name, memory.get());
  starts_.insert(name);
}

void StoredState::IsGoneOnWith() {
  for (auto& fd : kept_) fd.Release();
  all_.clear();
  for (const auto& [name, fd] : kStoredDescriptors) unread_.erase(std::string(name));
  Forget(unread_);
}

void StoredState::Forget(const std::set<std::string>& names) {
  ServiceStore store;
  for (const auto& name : names) store.Found(name);
  store.Clear();
  store.SendAll(kPatience);
}

void StoredState::Abandon() {
  std::set<std::string> names = starts_;
  for (const auto& [name, fd] : all_) names.insert(name);
  Forget(names);
  if (!facts_) try {
      ReadFacts();
    } catch (const Error&) {
      return all_.clear();
    }
  const auto fuse = all_.find("fuse");
  if (fuse != all_.end()) try {
      const MountOptions options{.mountpoint = facts_->mountpoint, .source = {}, .options = {}};
      const Mount mount(options, std::move(fuse->second), FoundIn(*facts_));
      mount.Abort();
    } catch (const Error&) {  // it is something else
    }
  all_.clear();
}

}  // namespace skopsfs::supervisor
