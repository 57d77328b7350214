#include "catalog/census.h"

#include <algorithm>
#include <mutex>
#include <tuple>

namespace skopsfs::catalog {
namespace {

using State = ArchiveSeen::State;

// Why it failed; empty when it did not.
std::string ReasonOf(const Slot& slot) {
  if (slot.trouble) return slot.trouble->what();
  if (slot.failure) return slot.failure->what();
  if (!slot.bad_members.empty()) {
    const size_t more = slot.bad_members.size() - 1;
    return "a member cannot be read: " + slot.bad_members.begin()->second.reason +
           (more > 0 ? " (and " + std::to_string(more) + " more)" : "");
  }
  if (slot.names_failure) return std::string("by-name: ") + slot.names_failure->what();
  return {};
}

State StateOf(Slot& slot) {
  const std::unique_lock lock(slot.mutex, std::try_to_lock);
  if (!lock) return State::kOpen;
  if (!ReasonOf(slot).empty()) return State::kFailed;
  return slot.file ? State::kOpen : State::kIdle;
}

ArchiveSeen Describe(Slot& slot, State state) {
  ArchiveSeen seen{.path = slot.path,
                   .size = slot.identity.size,
                   .state = state,
                   .is_current = !slot.superseded,
                   .was_looked_into = !slot.record || slot.record->index_mark != 0,
                   .reason = {}};
  if (state != State::kFailed) return seen;
  const std::unique_lock lock(slot.mutex, std::try_to_lock);
  if (lock) seen.reason = ReasonOf(slot);
  return seen;
}

}  // namespace

Census TakeCensus(const std::vector<std::shared_ptr<Slot>>& slots, size_t most) {
  struct Known {
    Slot* slot;
    State state;
    uint64_t last_used;
  };
  Census census;
  std::vector<Known> known;
  for (const auto& slot : slots) {
    if (slot->is_folder || slot->is_plain_file || !slot->parent) continue;
    const State state = StateOf(*slot);
    if (state == State::kOpen) ++census.open;
    if (state == State::kIdle) ++census.idle;
    if (state == State::kFailed) ++census.failed;
    if (slot->superseded) ++census.superseded;
    if (most > 0) known.push_back({slot.get(), state, slot->last_used});
  }
  const size_t shown = std::min(most, known.size());
  const auto end = known.begin() + static_cast<ptrdiff_t>(shown);
  std::partial_sort(known.begin(), end, known.end(), [](const Known& a, const Known& b) {
    return std::make_tuple(a.state != State::kFailed, b.last_used, a.slot->id) <
           std::make_tuple(b.state != State::kFailed, a.last_used, b.slot->id);
  });
  for (auto at = known.begin(); at != end; ++at) {
    census.archives.push_back(Describe(*at->slot, at->state));
  }
  census.left_out = census.open + census.idle + census.failed - shown;
  return census;
}

}  // namespace skopsfs::catalog
