#include "catalog/archive_summary.h"

#include <algorithm>
#include <tuple>

namespace skopsfs::catalog {
namespace {

using State = ArchiveStatus::State;

State StateOf(const Slot& slot) {
  const auto state = slot.TryState();
  if (!state) return State::kOpen;
  if (!state->reason.empty()) return State::kFailed;
  return state->is_open ? State::kOpen : State::kIdle;
}

ArchiveStatus Describe(const Slot& slot, State state) {
  ArchiveStatus seen{.path = slot.path,
                     .size = slot.identity.size,
                     .state = state,
                     .is_current = !slot.superseded,
                     .was_looked_into = !slot.record || slot.record->index_mark != 0,
                     .reason = {}};
  if (state != State::kFailed) return seen;
  if (const auto now = slot.TryState()) seen.reason = now->reason;
  return seen;
}

}  // namespace

ArchiveSummary SummarizeArchives(const std::vector<std::shared_ptr<Slot>>& slots, size_t most) {
  struct Known {
    const Slot* slot;
    State state;
    uint64_t last_used;
  };
  ArchiveSummary summary;
  std::vector<Known> known;
  for (const auto& slot : slots) {
    if (slot->is_folder || slot->is_plain_file || !slot->parent) continue;
    const State state = StateOf(*slot);
    if (state == State::kOpen) ++summary.open;
    if (state == State::kIdle) ++summary.idle;
    if (state == State::kFailed) ++summary.failed;
    if (slot->superseded) ++summary.superseded;
    if (most > 0) known.push_back({slot.get(), state, slot->last_used});
  }
  const size_t shown = std::min(most, known.size());
  const auto end = known.begin() + static_cast<ptrdiff_t>(shown);
  std::partial_sort(known.begin(), end, known.end(), [](const Known& a, const Known& b) {
    return std::make_tuple(a.state != State::kFailed, b.last_used, a.slot->id) <
           std::make_tuple(b.state != State::kFailed, a.last_used, b.slot->id);
  });
  for (auto at = known.begin(); at != end; ++at) {
    summary.archives.push_back(Describe(*at->slot, at->state));
  }
  summary.left_out = summary.open + summary.idle + summary.failed - shown;
  return summary;
}

}  // namespace skopsfs::catalog
