#pragma once

#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "fuse/callbacks.h"
#include "fuse/channel.h"
#include "fuse/name_dropper.h"
#include "fuse/session_state.h"
struct fuse_session;  // libfuse's

namespace skopsfs::fuse {

// Runs the filesystem's housekeeping once a second for as long as it lives. On a thread of its own:
// dropping a name waits for requests that concern it, which other threads must answer meanwhile.
class Housekeeper {
 public:
  Housekeeper(CallbackContext& context, SessionState& state, ::fuse_session* session,
              NameDropper dropper, const Channel& supervisor);

 private:
  void Run(const std::stop_token& stop);
  void DropNames();
  std::vector<fs::StaleName> NamesOfInherited();
  void LookAtClosed();
  void Measure();
  void Prune(const std::vector<fs::StaleName>& names);
  void SettleDoubts();
  bool IsKnown(uint64_t slot) const;

  fs::FileSystem& file_system_;
  StaleNames& stale_names_;
  SessionState& state_;
  ::fuse_session* const session_;
  const NameDropper dropper_;
  const Channel& supervisor_;  // is told when the source is gone
  // Slots of a predecessor that the kernel did not know, when they were last asked for.
  std::vector<catalog::SlotTable::Doubtful> unknown_;
  int64_t unknown_since_ = 0;
  std::chrono::steady_clock::time_point counted_{};  // when the gauges were
  uint64_t last_asked_ = 0;                          // the slot that was asked for last
  uint64_t last_pruned_ = 0;
  std::jthread thread_;
};

}  // namespace skopsfs::fuse
