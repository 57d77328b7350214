#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "handover/supervisor_state.h"
#include "supervisor/notify_socket.h"
#include "util/unique_fd.h"

namespace skopsfs::supervisor {

// The descriptors that are stored of each mount, by their names in the store. The facts and the
// kept ones have a number in their name.
inline constexpr std::array<std::pair<std::string_view, int handover::SupervisorState::*>, 6>
    kStoredDescriptors = {{{"fuse", &handover::SupervisorState::fuse},
                           {"session", &handover::SupervisorState::session},
                           {"slots", &handover::SupervisorState::slots},
                           {"counters", &handover::SupervisorState::counters},
                           {"sender", &handover::SupervisorState::notification_sender},
                           {"receiver", &handover::SupervisorState::notification_receiver}}};
inline constexpr const char* kStoreVariable = "FDSTORE";
inline constexpr std::string_view kStoredFacts = "facts-";
inline constexpr std::string_view kStoredKept = "kept-";

// Has the service manager keep what the next start needs to go on with the mount (see StoredState),
// when all processes of this one were killed or it is restarted. When it has no store for this
// service ($FDSTORE), nothing here does anything. Never waits for the manager: what that does not
// take at once is sent later. Owns the memory of the facts; the other descriptors stay the
// caller's. Use from one thread.
class ServiceStore {
 public:
  using Clock = std::chrono::steady_clock;
  using Kept = handover::SupervisorState::Kept;

  // More would not fit into $LISTEN_FDNAMES.
  static constexpr size_t kMost = 4096;

  ServiceStore();

  // Whether the manager keeps anything for this service.
  bool is_there() const { return most_ > 0; }

  // Stores what it has not got yet of the state: at first all descriptors, later the facts when
  // they have changed. Throws util::Error.
  void Save(const handover::SupervisorState& state);
  // Whether the manager has got the latest facts.
  bool is_saved() const { return is_there() && facts_ && queue_.empty() && !socket_.has_lost(); }
  // The number of these facts, where there are any.
  std::optional<uint64_t> facts() const { return facts_; }

  // From the first Save() on, each archive that is kept. `fd` has to stay open until Drop(). One
  // that there is no room for is not stored.
  void Keep(const Kept& kept, int fd);
  void Drop(const Kept& kept);

  // Goes on with what the process before has stored, of which this is the state.
  void Restore(const handover::SupervisorState& state);

  // When to call SendRest(); nothing when all was sent.
  std::optional<Clock::time_point> due() const { return due_; }
  void SendRest();
  // The same until all was sent, or the manager has taken nothing for that long.
  void SendAll(Clock::duration patience);

  // Something is in the store under that name.
  void Found(const std::string& name) { stored_[name] = kSent; }
  // Nothing is left in the store, once that was sent.
  void Clear();

 private:
  static constexpr int kSent = -1;

  void Put(const std::string& name, int fd);
  void Remove(const std::string& name);

  NotifySocket socket_;
  size_t most_ = 0;
  // What is in the store, or to be put there: its descriptor until it is sent.
  std::map<std::string, int> stored_;
  size_t name_bytes_ = 0;  // of all these names
  struct Change {
    bool is_put = false;
    std::string name;
  };
  std::deque<Change> queue_;  // not sent yet
  std::optional<Clock::time_point> due_;
  std::optional<uint64_t> facts_;
  std::string last_facts_;
  util::UniqueFd facts_memory_;
};

}  // namespace skopsfs::supervisor
