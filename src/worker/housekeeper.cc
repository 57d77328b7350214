#include "worker/housekeeper.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "fs/known_nodes.h"
#include "handover/node_id.h"
#include "util/clock.h"
#include "util/libfuse.h"
#include "util/log.h"
#include "worker/current_request.h"
#include "worker/reply.h"

namespace skopsfs::worker {

namespace {

using handover::SessionState;

constexpr size_t kAskedAtOnce = 1000;  // slots
// Nodes: of one version, and of all old ones. Telling names is a message each.
constexpr uint64_t kPrunedAtOnce = 65536;
constexpr uint64_t kNamedAtOnce = 1000;
constexpr uint64_t kToldAtOnce = 2 * kPrunedAtOnce;
constexpr auto kPeriod = std::chrono::milliseconds(1000);
constexpr int64_t kMillisecond = 1'000'000;  // nanoseconds
// Until the kernel has said what it has let go of.
constexpr auto kMoment = std::chrono::milliseconds(5);
constexpr auto kShortMoment = std::chrono::milliseconds(100);
constexpr auto kLongMoment = std::chrono::milliseconds(1000);
constexpr auto kCount = std::chrono::seconds(10);

// Puts them in the order of their turns: by their numbers, those after `last` first.
template <typename Items, typename Number>
void OrderByTurn(Items& items, uint64_t last, Number number) {
  std::ranges::sort(items, {}, number);
  std::rotate(items.begin(), std::ranges::upper_bound(items, last, {}, number), items.end());
}

}  // namespace

Housekeeper::Housekeeper(CallbackContext& context, SessionState& state, ::fuse_session* session,
                         CacheInvalidator invalidator, const handover::Channel& supervisor)
    : file_system_(context.file_system),
      state_(state),
      session_(session),
      invalidator_(invalidator),
      supervisor_(supervisor),
      thread_([this](const std::stop_token& stop) { Run(stop); }),
      source_thread_([&catalog = file_system_.catalog()](const std::stop_token& stop) {
        LookAtSource(catalog, stop);
      }) {}

Housekeeper::~Housekeeper() {
  source_thread_.request_stop();
  source_thread_.detach();
}

void Housekeeper::Run(const std::stop_token& stop) {
  KeepRecord(&state_.request(SessionState::kMostThreads - 1));
  auto& archives = file_system_.catalog().open_archives();
  while (!stop.stop_requested()) {
    const bool is_short = archives.WaitForShortage(stop, kPeriod);
    if (stop.stop_requested()) return;
    try {
      if (is_short) {
        MakeRoom();
        if (util::MonotonicNow() < next_look_) continue;
      }
      next_look_ = util::MonotonicNow() + kPeriod.count() * kMillisecond;
      util::TellLeftOutLines();
      if (file_system_.catalog().SourceIsGone()) supervisor_.Send(handover::Tell::kSourceGone);
      file_system_.Tidy();
      Measure();
      DropWrong();
      LetGoOfOldVersions();
      SettleDoubts();
    } catch (const std::exception& error) {
      util::LogError("housekeeping: {}", error.what());
    }
  }
}

void Housekeeper::LookAtSource(catalog::Catalog& catalog, const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    catalog.open_archives().CloseFor(stop, kPeriod);
    try {
      catalog.LookAtOpenFiles();
    } catch (const std::exception& error) {
      util::LogError("housekeeping: {}", error.what());
    }
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
  file_system_.CountArchives(0);
}

void Housekeeper::DropWrong() {
  for (const auto node : file_system_.TakeWrong()) {
    fuse_lowlevel_notify_inval_inode(session_, node.number(), 0, 0);  // it may be forgotten already
  }
}

// In turn, so many at a time. The kernel drops nothing that is in use, so it is told again for as
// long as it knows the version.
void Housekeeper::LetGoOfOldVersions() {
  auto old = file_system_.catalog().slots().Superseded();
  std::map<uint64_t, uint64_t> next;
  for (const auto& slot : old) {
    const auto known = next_.find(slot->id);
    if (known != next_.end()) next.insert(*known);
  }
  next_.swap(next);
  OrderByTurn(old, last_old_, [](const auto& slot) { return slot->id; });
  uint64_t nodes = 0;
  for (size_t i = 0; i < old.size() && nodes < kToldAtOnce; ++i) {
    last_old_ = old[i]->id;
    nodes += LetGo(old[i], true);
  }
}

// Of what was read least recently first. What then is still known is in use, and its turn comes
// last the next time.
// By name only when nothing else helps: who works in a directory loses its path by that for a
// while.
void Housekeeper::MakeRoom() {
  auto& archives = file_system_.catalog().open_archives();
  const size_t at_once = std::max<size_t>(1, archives.budget().descriptors / 8);
  const auto patience = archives.WasInVain() ? kShortMoment : kLongMoment;
  for (const bool by_name : {false, true}) {
    auto slots = archives.LeastRecentlyRead();
    for (size_t i = 0; i < slots.size(); ++i) {
      archives.WasAskedFor(*slots[i]);
      LetGo(std::exchange(slots[i], nullptr), by_name);  // who holds a slot holds its file
      if ((i + 1) % at_once == 0 && archives.WaitForRoom(kMoment)) return;
    }
    if (archives.WaitForRoom(by_name ? patience : kShortMoment)) return;
  }
  archives.NoRoomIsLeft();
}

// All nodes of a version, or so many of them at a time: those are dropped that nobody uses. Says
// what that took, in nodes that are pruned.
uint64_t Housekeeper::LetGo(const std::shared_ptr<catalog::Slot>& slot, bool by_name) {
  const fs::KnownNodes known(*slot);
  const bool prunes = SessionState::OffersPrune(state_.init());
  const uint64_t most = prunes ? kPrunedAtOnce : kNamedAtOnce;
  uint64_t first = 0;
  if (known.size() > most) {
    uint64_t& next = next_[slot->id];
    first = next;
    next = first + most < known.size() ? first + most : 0;
  }
  if (!prunes) {
    DropNames(slot, first);
    return std::min(known.size(), most) * (kPrunedAtOnce / kNamedAtOnce);
  }
  std::vector<uint64_t> nodes;
  for (uint64_t i = first; i < std::min(known.size(), first + most); ++i) {
    nodes.push_back(known.At(i).number());
  }
  invalidator_.Prune(nodes);
  // A name below that was asked for and is not there is in the kernel's cache, too, but is no node:
  // that goes with the name above.
  auto& catalog = file_system_.catalog();
  if (by_name && !catalog.source().is_single_archive() && catalog.IsNamed(*slot)) {
    invalidator_.InvalidateEntry({{.slot = slot->id}, {.slot = slot->parent->id}, slot->name});
  }
  return nodes.size();
}

// The version's own name first: with that all goes that nobody uses. To find the others, the
// version is parsed, which may crash or hang: the supervisor must see at what.
void Housekeeper::DropNames(const std::shared_ptr<catalog::Slot>& slot, uint64_t first) {
  const uint64_t own = fs::KnownNodes(*slot).size() - 1;
  const handover::NodeId node{.slot = slot->id, .index = 0};
  const CurrentRequest at({.unique = handover::kUnasked | slot->id, .node = node.number()});
  try {
    for (const auto& named : file_system_.NamesOf(slot, own, 1))
      invalidator_.InvalidateEntry(named);
    for (const auto& named : file_system_.NamesOf(slot, first, kNamedAtOnce))
      invalidator_.InvalidateEntry(named);
  } catch (const util::Error&) {
    // Who reads it has been told. What of it is in use goes when the kernel is short of memory, but
    // its descriptor does not have to wait for that.
    file_system_.catalog().LetGoOfChanged(*slot);
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
      if (!IsKnown(slot.id)) file_system_.catalog().slots().ForgetAll(slot);
    }
  }
  // A thousand at a time, in turn.
  OrderByTurn(doubtful, last_asked_, &catalog::SlotTable::Doubtful::id);
  if (doubtful.size() > kAskedAtOnce) doubtful.resize(kAskedAtOnce);
  last_asked_ = doubtful.empty() ? 0 : doubtful.back().id;
  std::erase_if(doubtful, [&](const auto& slot) { return IsKnown(slot.id); });
  unknown_ = std::move(doubtful);
  unknown_since_ = now;
}

// Of a single archive the kernel does not know the first, as that is the root.
bool Housekeeper::IsKnown(uint64_t slot_id) const {
  constexpr off_t kAttributesOnly = -1;
  constexpr uint64_t kMostAsked = 10'000;
  const auto knows = [&](handover::NodeId node) {
    return fuse_lowlevel_notify_inval_inode(session_, node.number(), kAttributesOnly, 0) != -ENOENT;
  };
  auto& catalog = file_system_.catalog();
  const auto slot = catalog.source().is_single_archive() ? catalog.slots().Get(slot_id) : nullptr;
  if (!slot) return knows({.slot = slot_id, .index = 0});
  const fs::KnownNodes known(*slot);
  if (known.size() > kMostAsked) return true;
  for (uint64_t i = 0; i < known.size(); ++i) {
    if (knows(known.At(i))) return true;
  }
  return false;
}

}  // namespace skopsfs::worker
