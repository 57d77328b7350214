#pragma once

#include <chrono>
#include <cstdint>
#include <map>

#include "handover/channel.h"
#include "handover/supervisor_state.h"
#include "supervisor/closer.h"
#include "supervisor/service_store.h"
#include "util/unique_fd.h"

namespace skopsfs::supervisor {

// Keeps descriptors of open archive versions from one worker to the next, so that these are served
// on whatever has become of their names. Owns them, and never reads them. Use from one thread.
class KeptDescriptors {
 public:
  using Clock = std::chrono::steady_clock;

  // `closer` closes what is kept no more, and `store` is told of each. Both have to live longer.
  KeptDescriptors(Closer& closer, ServiceStore& store) : closer_(closer), store_(store) {}
  ~KeptDescriptors();
  KeptDescriptors(const KeptDescriptors&) = delete;
  KeptDescriptors& operator=(const KeptDescriptors&) = delete;

  // Under a number that the worker has chosen. Where no more can be kept, that is logged.
  void Keep(uint64_t number, uint64_t slot, util::UniqueFd fd);
  void Drop(uint64_t number);

  // For the program that goes on, which calls MakeRoom(), and then Take(), which cannot fail. From
  // then on the descriptors are this object's.
  void SaveTo(handover::SupervisorState& state) const;
  void MakeRoom(const handover::SupervisorState& state);
  void Take(const handover::SupervisorState& state) noexcept;

  // Sends them all. False when the worker did not take them by then.
  bool SendTo(const handover::Channel& worker, Clock::time_point until) const;

 private:
  struct Kept {
    uint64_t slot = 0;
    util::UniqueFd fd;
  };

  Closer& closer_;
  ServiceStore& store_;
  std::map<uint64_t, Kept> kept_;  // by number
};

}  // namespace skopsfs::supervisor
