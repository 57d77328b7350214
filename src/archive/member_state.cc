#include "archive/member_state.h"

namespace skopsfs::archive {

std::shared_ptr<MemberState> MemberStates::Of(const Extent& extent, DecoderPool& pool) {
  constexpr size_t kRemembered = 1024;  // before those nobody reads are looked for
  const Position position(extent.within ? std::optional(extent.within->offset) : std::nullopt,
                          extent.offset);
  const util::MutexLock lock(mutex_);
  if (states_.size() >= kRemembered) {
    std::erase_if(states_, [](const auto& item) { return item.second.expired(); });
  }
  auto& known = states_[position];
  auto state = known.lock();
  if (!state) known = state = std::make_shared<MemberState>(extent.size, pool);
  return state;
}

}  // namespace skopsfs::archive
