#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "handover/channel.h"
#include "handover/session_state.h"
#include "worker/cache_invalidator.h"
#include "worker/callbacks.h"
struct fuse_session;  // libfuse's

namespace skopsfs::worker {

// Runs the filesystem's housekeeping once a second for as long as it lives. It has the kernel let
// go of old versions, and of what was read least recently when somebody waits for descriptors. It
// owns two threads. One drops nodes, which waits for requests that other threads must answer
// meanwhile. The other asks the source, which may not answer at all. Make and destroy it on one
// thread.
class Housekeeper {
 public:
  Housekeeper(CallbackContext& context, handover::SessionState& state, ::fuse_session* session,
              CacheInvalidator invalidator, const handover::Channel& supervisor);
  // Does not wait for the source, whose thread goes on. So the catalogue must stay.
  ~Housekeeper();
  Housekeeper(const Housekeeper&) = delete;
  Housekeeper& operator=(const Housekeeper&) = delete;

 private:
  void Run(const std::stop_token& stop);
  static void LookAtSource(catalog::Catalog& catalog, const std::stop_token& stop);
  void LetGoOfOldVersions();
  void MakeRoom();
  uint64_t LetGo(const std::shared_ptr<catalog::Slot>& slot, bool by_name);
  void DropNames(const std::shared_ptr<catalog::Slot>& slot, uint64_t first);
  void Measure();
  void DropWrong();
  void SettleDoubts();
  bool IsKnown(uint64_t slot_id) const;

  fs::FileSystem& file_system_;
  handover::SessionState& state_;
  ::fuse_session* const session_;
  const CacheInvalidator invalidator_;
  const handover::Channel& supervisor_;  // is told when the source is gone
  // Slots of a predecessor that the kernel did not know when it was last asked.
  std::vector<catalog::SlotTable::Doubtful> unknown_;
  int64_t unknown_since_ = 0;
  std::chrono::steady_clock::time_point counted_{};  // when the gauges were
  int64_t next_look_ = 0;                            // when all is to be looked at again
  uint64_t last_old_ = 0;              // the slot of the old version that was let go of last
  uint64_t last_asked_ = 0;            // the slot that was asked for last
  std::map<uint64_t, uint64_t> next_;  // node of an old version, by its slot
  std::jthread thread_;
  std::jthread source_thread_;
};

}  // namespace skopsfs::worker
