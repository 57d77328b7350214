#include "fuse/housekeeper.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>

#include "fs/node_id.h"
#include "fuse/libfuse.h"
#include "fuse/reply.h"
#include "util/clock.h"
#include "util/log.h"

namespace skopsfs::fuse {

namespace {

constexpr size_t kAskedAtOnce = 1000;  // slots
constexpr size_t kPrunedAtOnce = 64;   // likewise
constexpr uint32_t kNodesOfEach = 1000;
constexpr auto kPeriod = std::chrono::milliseconds(1000);
constexpr auto kCount = std::chrono::seconds(10);

}  // namespace

Housekeeper::Housekeeper(CallbackContext& context, SessionState& state, ::fuse_session* session,
                         NameDropper dropper, const Channel& supervisor)
    : file_system_(context.file_system),
      stale_names_(context.stale_names),
      state_(state),
      session_(session),
      dropper_(dropper),
      supervisor_(supervisor),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

void Housekeeper::Run(const std::stop_token& stop) {
  KeepRecord(&state_.request(SessionState::kMostThreads - 1));
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  while (!stop.stop_requested()) {
    wake.wait_for(lock, stop, kPeriod, [] { return false; });
    if (stop.stop_requested()) return;
    try {
      util::TellLeftOutLines();
      if (file_system_.catalog().SourceIsGone()) supervisor_.Send(Tell::kSourceGone);
      LookAtClosed();
      file_system_.Tidy();
      Measure();
      DropNames();
      file_system_.catalog().LetGoOfInherited();
      SettleDoubts();
    } catch (const std::exception& error) {
      util::LogError("housekeeping: {}", error.what());
    }
  }
}

// While the files of their archives are still open, so that nobody has to look the names up.
void Housekeeper::LookAtClosed() {
  std::optional<uint64_t> slot;
  bool is_old = false;
  for (auto& [node, closed] : stale_names_.TakeClosed()) {
    if (slot != closed.node.slot) is_old = file_system_.catalog().IsOld(closed.node.slot);
    slot = closed.node.slot;
    if (is_old) stale_names_.Add(std::move(closed));
  }
}

// For who asks for metrics without asking this process. A folder of very many archives takes some
// milliseconds to count.
void Housekeeper::Measure() {
  const int64_t oldest = state_.OldestRequest();
  file_system_.counters().oldest_request = oldest == INT64_MAX ? 0 : oldest;
  const auto now = std::chrono::steady_clock::now();
  if (now - counted_ < kCount) return;
  counted_ = now;
  file_system_.UpdateGauges();
}

// These are parsed, which may crash or hang: the supervisor must see at what.
std::vector<fs::StaleName> Housekeeper::NamesOfInherited() {
  std::optional<AtRequest> at;
  auto names = file_system_.StaleNamesOfInherited(kAskedAtOnce, [&](uint64_t slot) {
    const fs::NodeId node{.slot = slot, .index = 0};
    at.reset();
    at.emplace(RequestSeen{.unique = kUnasked | slot, .node = node.number()});
  });
  at.reset();
  return names;
}

void Housekeeper::DropNames() {
  const auto is_known = [&](fs::NodeId node) { return file_system_.catalog().Get(node.slot); };
  const auto names = stale_names_.Known(is_known);
  if (SessionState::OffersPrune(state_.init())) return Prune(names);
  for (const auto& stale : names) dropper_.Drop(stale);
  for (auto& stale : NamesOfInherited()) {
    dropper_.Drop(stale);
    // It may be let go of, and its names are not known then.
    stale_names_.Add(std::move(stale));
  }
}

// Without knowing what is in an old version, which may not even be readable: of those nodes that it
// may have, those that the kernel knows, what is in a directory before that.
void Housekeeper::Prune(const std::vector<fs::StaleName>& names) {
  auto slots = file_system_.catalog().OldVersionsOfPredecessors();
  std::vector<uint64_t> nodes;
  for (const auto& stale : names) {
    nodes.push_back(stale.node.number());
    slots.insert(stale.node.slot);
  }
  dropper_.Prune(nodes);
  auto slot = slots.upper_bound(last_pruned_);
  for (size_t i = 0; i < std::min(slots.size(), kPrunedAtOnce); ++i, ++slot) {
    if (slot == slots.end()) slot = slots.begin();
    last_pruned_ = *slot;
    nodes.clear();
    for (uint32_t index = kNodesOfEach; index-- > 0;) {
      nodes.push_back(fs::NodeId{*slot, fs::NodeId::kFirstName + index}.number());
      nodes.push_back(fs::NodeId{*slot, index}.number());
    }
    dropper_.Prune(nodes);
  }
}

// A predecessor may have died between counting a lookup and answering it, or after reading what the
// kernel forgets. So the kernel is asked which of its slots it knows: as long as it has any node of
// one, it has the first, because a name in its cache holds on to the directory above. Those that it
// did not know a second ago, and still does not, go, unless a request that has been under way since
// may be about to tell it.
void Housekeeper::SettleDoubts() {
  auto doubtful = file_system_.catalog().Doubtful();
  if (doubtful.empty() && unknown_.empty()) return;
  const int64_t now = util::MonotonicNow();
  if (state_.OldestRequest() > unknown_since_) {
    for (const auto& slot : unknown_) {
      if (!IsKnown(slot.id)) file_system_.catalog().ForgetAll(slot);
    }
  }
  // A thousand at a time, in turn.
  std::sort(doubtful.begin(), doubtful.end(), [](auto& a, auto& b) { return a.id < b.id; });
  const auto next = std::upper_bound(doubtful.begin(), doubtful.end(), last_asked_,
                                     [](uint64_t id, auto& slot) { return id < slot.id; });
  std::rotate(doubtful.begin(), next, doubtful.end());
  if (doubtful.size() > kAskedAtOnce) doubtful.resize(kAskedAtOnce);
  last_asked_ = doubtful.empty() ? 0 : doubtful.back().id;
  std::erase_if(doubtful, [&](const auto& slot) { return IsKnown(slot.id); });
  unknown_ = std::move(doubtful);
  unknown_since_ = now;
}

bool Housekeeper::IsKnown(uint64_t slot) const {
  constexpr off_t kAttributesOnly = -1;
  const fs::NodeId node{.slot = slot, .index = 0};
  return fuse_lowlevel_notify_inval_inode(session_, node.number(), kAttributesOnly, 0) != -ENOENT;
}

}  // namespace skopsfs::fuse
