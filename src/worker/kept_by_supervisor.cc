#include "worker/kept_by_supervisor.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "util/log.h"

namespace skopsfs::worker {

using handover::Channel;
using handover::Tell;

KeptBySupervisor::KeptBySupervisor(Channel& supervisor, uint32_t generation, size_t inherited,
                                   size_t most)
    : supervisor_(supervisor), most_(most), last_(uint64_t{generation} << 32), held_(inherited) {
  undropped_.reserve(held_);
}

// So that there is room for it when it is to be dropped, whatever memory there is then.
bool KeptBySupervisor::ReserveOneMore() noexcept {
  try {
    if (undropped_.capacity() <= held_) undropped_.reserve(2 * (held_ + 1));
  } catch (const std::bad_alloc&) {
    errno = ENOMEM;
    return false;
  }
  return true;
}

uint64_t KeptBySupervisor::Keep(uint64_t slot_id, int fd) noexcept {
  const util::MutexLock lock(mutex_);
  if (held_ >= most_) return 0;  // it is still to be told of those that were dropped
  const uint64_t number = ++last_;
  if (ReserveOneMore() && supervisor_.TrySend(Tell::kKeep, number, slot_id, fd)) {
    ++held_;
    too_many_ = false;
    return number;
  }
  too_many_ = errno == ETOOMANYREFS;
  if (errno != EAGAIN && !too_many_) {
    util::LogWarning("an open archive cannot be given to the supervisor: {}",
                     strerrordesc_np(errno));
  }
  return 0;
}

void KeptBySupervisor::Drop(uint64_t number) noexcept {
  const util::MutexLock lock(mutex_);
  undropped_.push_back(number);  // there is room: it was reserved
  SendDrops();
}

void KeptBySupervisor::SendDrops() noexcept {
  const auto sent = std::find_if_not(undropped_.begin(), undropped_.end(), [&](uint64_t number) {
    return supervisor_.TrySend(Tell::kDrop, number);
  });
  held_ -= static_cast<size_t>(sent - undropped_.begin());
  undropped_.erase(undropped_.begin(), sent);
}

void KeptBySupervisor::TryAgain() noexcept {
  const util::MutexLock lock(mutex_);
  SendDrops();
  if (std::exchange(too_many_, false)) Channel::TellOfTooMany();
}

void KeptBySupervisor::SendRest() noexcept {
  const util::MutexLock lock(mutex_);
  for (const uint64_t number : undropped_) supervisor_.Send(Tell::kDrop, number);
  undropped_.clear();
}

}  // namespace skopsfs::worker
