#include "handover/supervisor_state.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <concepts>
#include <map>
#include <set>
#include <type_traits>
#include <utility>

#include "handover/channel.h"
#include "util/error.h"
#include "util/log.h"
#include "util/number.h"

namespace skopsfs::handover {
namespace {

using util::Error;

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
constexpr std::string_view kFirst = "skopsfs-state";
constexpr std::string_view kLast = "complete";
constexpr std::string_view kDescriptor = "descriptor";  // its number

[[noreturn]] void Refuse(const std::string& why) {
  throw Error(EPROTO, "the state of the mount " + why);
}

// The facts and their names, once for both who writes and who reads them.
template <typename Form, typename State>
void VisitFacts(Form form, State& state) {
  form("protocol", state.protocol);
  form("program_path", state.program_path);
  form("mountpoint", state.mountpoint);
  form("is_passed", state.is_passed);
  form("mount_id", state.mount_id);
  form("mount_device", state.mount_device);
  form("unique_mount_id", state.unique_mount_id);
  form("source_path", state.source_path);
  form("canonical_source_path", state.canonical_source_path);
  form("is_single_archive", state.is_single_archive);
  form("source_is_mountpoint", state.source_is_mountpoint);
  form("source_device", state.source_device);
  form("source_is_looked_for", state.source_is_looked_for);
  form("user", state.user);
  form("group", state.group);
  form("user_stays", state.user_stays);
  form("kernel_resends", state.kernel_resends);
  form("generation", state.generation);
  form("crashes", state.crashes);
  form("last_crash", state.last_crash);
  form("is_followed", state.is_followed);
  form("worker_pid", state.worker_pid);
  form("left_behind", state.left_behind);
  form("kept", state.kept);
  form("argument", state.arguments);
  form("stored_facts", state.stored_facts);
  form("quarantined", state.quarantined);
}

// All but the kept ones.
template <typename State>
auto FixedDescriptors(State& state) {
  std::vector fixed = {&state.fuse,
                       &state.session,
                       &state.slots,
                       &state.counters,
                       &state.source,
                       &state.canonical_source,
                       &state.notification_sender,
                       &state.notification_receiver};
  if (state.is_followed) fixed.push_back(&state.listener);
  if (state.worker_pid) {
    fixed.push_back(&state.worker_channel);
    fixed.push_back(&state.worker_program);
  }
  return fixed;
}

struct Writer {
  std::string& facts;

  void operator()(std::string_view name, const std::string& value) const {
    facts.append(name).append("=").append(value).push_back('\0');
  }
  void operator()(std::string_view name, std::integral auto value) const {
    (*this)(name, fmt::format("{:d}", value));
  }
  void operator()(std::string_view name, const SupervisorState::Kept& kept) const {
    (*this)(name, fmt::format("{} {}", kept.number, kept.slot));
  }
  void operator()(std::string_view name, const SupervisorState::Quarantined& one) const {
    const auto& [device, inode, size, mtime, ctime] = one.identity;
    (*this)(name, fmt::format("{} {} {} {} {} {} {}", one.slot, device, inode, size, mtime, ctime,
                              one.reason));
  }
  template <typename T>
  void operator()(std::string_view name, const std::optional<T>& value) const {
    if (value) (*this)(name, *value);
  }
  template <typename T>
  void operator()(std::string_view name, const std::vector<T>& values) const {
    for (const auto& value : values) (*this)(name, value);
  }
};

struct Reader {
  const std::multimap<std::string_view, std::string_view>& facts;

  template <typename T>
  void operator()(std::string_view name, T& value) const {
    std::optional<T> found;
    (*this)(name, found);
    if (!found) Refuse(fmt::format("lacks its {}", name));
    value = std::move(*found);
  }
  template <typename T>
  void operator()(std::string_view name, std::optional<T>& value) const {
    std::vector<T> all;
    (*this)(name, all);
    if (all.size() > 1) Refuse(fmt::format("has more than one {}", name));
    if (!all.empty()) value = std::move(all.front());
  }
  template <typename T>
  void operator()(std::string_view name, std::vector<T>& values) const {
    const auto [first, last] = facts.equal_range(name);
    for (auto fact = first; fact != last; ++fact) {
      std::string_view text = fact->second;
      T value{};
      if (!Parse(text, value) || !text.empty()) {
        Refuse(fmt::format("has a {} that makes no sense: {}", name, util::Quoted(fact->second)));
      }
      values.push_back(std::move(value));
    }
  }

  static bool Parse(std::string_view& text, std::string& value) {
    value = std::exchange(text, {});
    return true;
  }
  static bool Parse(std::string_view& text, bool& value) {
    uint64_t number = 0;
    if (!Parse(text, number) || number > 1) return false;
    value = number == 1;
    return true;
  }
  // Up to the next space.
  static bool Parse(std::string_view& text, std::integral auto& value) {
    const auto word = text.substr(0, text.find(' '));
    const auto number = util::ParseNumber<std::decay_t<decltype(value)>>(word);
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (number) value = *number;
    return number.has_value();
  }
  static bool Parse(std::string_view& text, SupervisorState::Kept& kept) {
    return Parse(text, kept.number) && Parse(text, kept.slot);
  }
  static bool Parse(std::string_view& text, SupervisorState::Quarantined& one) {
    auto& [device, inode, size, mtime, ctime] = one.identity;
    return Parse(text, one.slot) && Parse(text, device) && Parse(text, inode) &&
           Parse(text, size) && Parse(text, mtime) && Parse(text, ctime) && Parse(text, one.reason);
  }
};

// By their names, those of one name in their order.
std::multimap<std::string_view, std::string_view> Split(std::string_view text) {
  std::multimap<std::string_view, std::string_view> facts;
  while (!text.empty()) {
    const auto end = text.find('\0');
    const auto fact = text.substr(0, end);
    const auto equals = fact.find('=');
    if (end == std::string_view::npos || equals == std::string_view::npos) Refuse("is cut off");
    if (facts.size() >= SupervisorState::kMostFacts) Refuse("is too large");
    if (facts.empty() && fact.substr(0, equals) != kFirst) Refuse("is something else");
    facts.emplace(fact.substr(0, equals), fact.substr(equals + 1));
    text.remove_prefix(end + 1);
  }
  return facts;
}

}  // namespace

std::vector<int> SupervisorState::Descriptors() const {
  std::vector<int> all;
  for (const int* const fd : FixedDescriptors(*this)) all.push_back(*fd);
  all.insert(all.end(), kept_descriptors.begin(), kept_descriptors.end());
  return all;
}

std::string SupervisorState::Facts() const {
  std::string facts;
  const Writer writer{facts};
  writer(kFirst, kVersion);
  VisitFacts(writer, *this);
  writer(kLast, true);
  return facts;
}

std::string SupervisorState::FactsToExecute() const {
  std::string facts = Facts();
  Writer{facts}(kDescriptor, Descriptors());
  return facts;
}

SupervisorState SupervisorState::FromExecuted(std::string_view text) {
  const auto facts = Split(text);
  std::vector<int> descriptors;
  Reader{facts}(kDescriptor, descriptors);
  return From(text, descriptors);
}

void SupervisorState::CloseDuplicated() const {
  for (const int* const fd : FixedDescriptors(*this)) close(*fd);
}

SupervisorState SupervisorState::FromFacts(std::string_view text) {
  const auto facts = Split(text);
  const Reader reader{facts};
  uint64_t version = 0;
  reader(kFirst, version);
  if (version != kVersion) {
    Refuse(fmt::format("is of version {}, and this program's of {}", version, kVersion));
  }
  SupervisorState state;
  VisitFacts(reader, state);
  bool is_complete = false;
  reader(kLast, is_complete);
  CheckProtocolVersion(state.protocol);
  auto children = state.left_behind;
  if (state.worker_pid) children.push_back(*state.worker_pid);
  if (std::ranges::any_of(children, [](pid_t pid) { return pid <= 1; })) {
    Refuse("has a process that is no worker's");
  }
  return state;
}

SupervisorState SupervisorState::From(std::string_view text, const std::vector<int>& descriptors) {
  auto state = FromFacts(text);
  if (std::set(descriptors.begin(), descriptors.end()).size() != descriptors.size()) {
    Refuse("has a descriptor twice");
  }
  auto next = descriptors.begin();
  const auto take = [&](int& fd) {
    if (next == descriptors.end() || fcntl(*next, F_GETFD) < 0) Refuse("lacks a descriptor");
    fd = *next++;
  };
  for (int* const fd : FixedDescriptors(state)) take(*fd);
  for (size_t i = 0; i < state.kept.size(); ++i) take(state.kept_descriptors.emplace_back());
  if (next != descriptors.end()) Refuse("has a descriptor too many");
  return state;
}

util::UniqueFd SealedMemory(std::string_view facts) {
  if (facts.size() > SupervisorState::kMostBytes) Refuse("is too large");
  util::UniqueFd memory(memfd_create("skopsfs-state", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const auto size = static_cast<ssize_t>(facts.size());
  if (!memory || write(memory.get(), facts.data(), facts.size()) != size ||
      fcntl(memory.get(), F_ADD_SEALS, kSeals) != 0) {
    throw util::ErrnoError("writing the state of the mount");
  }
  return memory;
}

std::string ReadSealedMemory(int memory) {
  struct stat st {};
  const int seals = fcntl(memory, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals || fstat(memory, &st) != 0) Refuse("is not sealed");
  if (static_cast<uint64_t>(st.st_size) > SupervisorState::kMostBytes) Refuse("is too large");
  std::string facts(static_cast<size_t>(st.st_size), '\0');
  if (pread(memory, facts.data(), facts.size(), 0) != st.st_size) Refuse("cannot be read");
  return facts;
}

}  // namespace skopsfs::handover
