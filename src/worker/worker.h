#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "catalog/descriptor_keeper.h"
#include "handover/channel.h"
#include "handover/identity.h"
#include "source/source.h"
#include "util/mutex.h"
#include "util/serving_user.h"
#include "util/unique_fd.h"

namespace skopsfs::worker {

// What a worker is given by its supervisor.
struct WorkerSetup {
  util::UniqueFd mount;  // /dev/fuse
  bool mount_is_passed = false;
  std::string mountpoint;
  util::UniqueFd session;   // of SessionState
  util::UniqueFd slots;     // of handover::SlotStore
  util::UniqueFd metrics;   // of handover::Counters
  util::UniqueFd notifier;  // of NotifierProcess
  source::Source::Parts source;
  bool source_is_mountpoint = false;  // so that nothing below its place is taken for it
  bool opens_source_anew = false;     // see OpenSourceAnew()
  util::ServingUser user;
};

// What it is given when it takes over.
struct Inheritance {
  struct Quarantined {
    handover::Identity identity;
    std::string reason;
  };
  std::vector<catalog::InheritedDescriptor> descriptors;
  std::vector<Quarantined> quarantined;
  uint32_t generation = 0;  // the first that serves has 1
};

// To be called by a new worker, one after the other; the second says that it is prepared, and waits
// until it is its turn. Throw util::Error when the supervisor is gone or of another kind.
WorkerSetup ReceiveSetup(handover::Channel& supervisor);
Inheritance WaitForTurn(handover::Channel& supervisor);

// Opens the source by its path, which may lead elsewhere than when the supervisor opened it, and
// has the supervisor know of it. Where the path may not be opened, but what was opened before may,
// that stays the source. To be called by the user who serves, so that nobody gets to see what that
// user may not reach, and before the sandbox is entered. Throws util::Error.
void OpenSourceAnew(const handover::Channel& supervisor, WorkerSetup& setup);

// Makes the calling process a worker: it ends with its parent, and what it logs goes to the
// supervisor, which must live as long as the process.
void BecomeWorker(const handover::Channel& supervisor);

// Has the supervisor keep descriptors. Waits for nobody: what the supervisor does not take at once,
// or has no room for, is not kept, and each that was is dropped one day: what has no name any more
// would go on filling a disk.
class KeptBySupervisor : public catalog::DescriptorKeeper {
 public:
  // `inherited`: how many a predecessor had kept. The supervisor has room for `most`.
  KeptBySupervisor(handover::Channel& supervisor, uint32_t generation, size_t inherited,
                   size_t most);

  uint64_t Keep(uint64_t slot_id, int fd) noexcept override;
  void Drop(uint64_t number) noexcept override;
  void TryAgain() noexcept override;

  // Says all that was not said, and waits for that. To be called at the end, when nobody else uses
  // it.
  void SendRest() noexcept;

 private:
  bool ReserveOneMore() noexcept REQUIRES(mutex_);
  void SendDrops() noexcept REQUIRES(mutex_);

  handover::Channel& supervisor_;
  const size_t most_;
  util::Mutex mutex_;  // before the log's
  uint64_t last_ GUARDED_BY(mutex_);
  bool too_many_ GUARDED_BY(mutex_) = false;  // descriptors were under way at the last try
  size_t held_ GUARDED_BY(mutex_);            // by the supervisor
  // That it is still to be told; has room for all of them.
  std::vector<uint64_t> undropped_ GUARDED_BY(mutex_);
};

}  // namespace skopsfs::worker
