#include "catalog/archive_summary.h"

#include <algorithm>
#include <tuple>

namespace skopsfs::catalog {
namespace {

using State = ArchiveStatus::State;

State StateOf(const Slot::State& seen) {
  if (!seen.reason.empty()) return State::kFailed;
  return seen.is_open ? State::kOpen : State::kIdle;
}

}  // namespace

ArchiveSummary SummarizeArchives(const std::vector<std::shared_ptr<Slot>>& slots, size_t most) {
  struct Known {
    const Slot* slot;
    State state;
    std::string reason;
    uint64_t last_used;
  };
  ArchiveSummary summary;
  std::vector<Known> known;
  for (const auto& slot : slots) {
    if (slot->is_folder || slot->is_plain_file || !slot->parent) continue;
    auto seen = slot->TryState().value_or(Slot::State{.is_open = true, .reason = {}});
    const State state = StateOf(seen);
    if (state == State::kOpen) ++summary.open;
    if (state == State::kIdle) ++summary.idle;
    if (state == State::kFailed) ++summary.failed;
    if (slot->superseded) ++summary.superseded;
    if (most > 0) known.push_back({slot.get(), state, std::move(seen.reason), slot->last_used});
  }
  const size_t shown = std::min(most, known.size());
  const auto end = known.begin() + static_cast<ptrdiff_t>(shown);
  std::partial_sort(known.begin(), end, known.end(), [](const Known& a, const Known& b) {
    return std::make_tuple(a.state != State::kFailed, b.last_used, a.slot->id) <
           std::make_tuple(b.state != State::kFailed, a.last_used, b.slot->id);
  });
  for (auto at = known.begin(); at != end; ++at) {
    const Slot& slot = *at->slot;
    summary.archives.push_back({.path = slot.path,
                                .size = slot.identity.size,
                                .state = at->state,
                                .is_current = !slot.superseded,
                                .was_looked_into = !slot.record || slot.record->index_mark != 0,
                                .reason = std::move(at->reason)});
  }
  summary.left_out = summary.open + summary.idle + summary.failed - shown;
  return summary;
}

}  // namespace skopsfs::catalog
