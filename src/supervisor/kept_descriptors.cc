#include "supervisor/kept_descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <utility>

#include "util/log.h"

namespace skopsfs::supervisor {
namespace {

constexpr size_t kOtherDescriptors = 64;  // of the supervisor

}  // namespace

KeptDescriptors::~KeptDescriptors() {
  for (auto& item : kept_) closer_.Close(std::move(item.second.fd));
}

void KeptDescriptors::Keep(uint64_t number, uint64_t slot, util::UniqueFd fd) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (!fd || kept_.size() + kOtherDescriptors > limit.rlim_cur) {
    util::LogWarning(
        "no descriptor is left to keep an open archive: raise the limit (ulimit -n, LimitNOFILE)");
    return closer_.Close(std::move(fd));
  }
  Drop(number);
  const int stored = fd.get();
  kept_[number] = {slot, std::move(fd)};
  store_.Keep({.number = number, .slot = slot}, stored);
}

void KeptDescriptors::Drop(uint64_t number) {
  auto kept = kept_.extract(number);
  if (!kept) return;
  store_.Drop({.number = number, .slot = kept.mapped().slot});
  closer_.Close(std::move(kept.mapped().fd));
}

void KeptDescriptors::SaveTo(handover::SupervisorState& state) const {
  for (const auto& [number, kept] : kept_) {
    state.kept.push_back({.number = number, .slot = kept.slot});
    state.kept_descriptors.push_back(kept.fd.get());
  }
}

void KeptDescriptors::MakeRoom(const handover::SupervisorState& state) {
  for (const auto& [number, slot] : state.kept) kept_[number].slot = slot;
}

void KeptDescriptors::Take(const handover::SupervisorState& state) noexcept {
  for (size_t i = 0; i < state.kept.size(); ++i) {
    kept_[state.kept[i].number].fd.Reset(state.kept_descriptors[i]);
    fcntl(state.kept_descriptors[i], F_SETFD, FD_CLOEXEC);
  }
}

bool KeptDescriptors::SendTo(const handover::Channel& worker, Clock::time_point until) const {
  for (const auto& [number, kept] : kept_) {
    const bool is_sent = Clock::now() < until &&
                         worker.Send(handover::Tell::kInherit, number, kept.slot, kept.fd.get());
    if (!is_sent) return false;
  }
  return true;
}

}  // namespace skopsfs::supervisor
