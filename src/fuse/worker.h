#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "archive/identity.h"
#include "catalog/descriptor_keeper.h"
#include "catalog/source.h"
#include "fuse/channel.h"
#include "fuse/sandbox.h"
#include "util/unique_fd.h"

namespace skopsfs::fuse {

// What a worker is given by its supervisor.
struct WorkerSetup {
  util::UniqueFd mount;  // /dev/fuse
  bool mount_is_passed = false;
  util::UniqueFd session;  // of SessionState
  util::UniqueFd slots;    // of catalog::SlotStore
  uint32_t generation = 0;
  catalog::Source::Parts source;
  UserIds user;  // whom it becomes if it is root
  bool user_is_required = false;
};

// What it is given when it takes over.
struct Inheritance {
  struct Quarantined {
    archive::Identity identity;
    std::string reason;
  };
  std::vector<catalog::InheritedDescriptor> descriptors;
  std::vector<Quarantined> quarantined;
};

// To be called by a new worker, one after the other; the second says that it is prepared, and waits
// until it is its turn. Throw util::Error when the supervisor is gone or of another kind.
WorkerSetup ReceiveSetup(Channel& supervisor);
Inheritance WaitForTurn(Channel& supervisor);

// Makes the calling process a worker: it ends with its parent, and what it logs goes to the
// supervisor, which must live as long as the process.
void BecomeWorker(const Channel& supervisor);

// Has the supervisor keep descriptors.
class KeptBySupervisor : public catalog::DescriptorKeeper {
 public:
  KeptBySupervisor(Channel& supervisor, uint32_t generation)
      : supervisor_(supervisor), last_(uint64_t{generation} << 32) {}

  uint64_t Keep(uint64_t slot_id, int fd) noexcept override {
    const uint64_t number = ++last_;
    supervisor_.Send(Tell::kKeep, number, slot_id, fd);
    return number;
  }
  void Drop(uint64_t number) noexcept override { supervisor_.Send(Tell::kDrop, number); }

 private:
  Channel& supervisor_;
  std::atomic<uint64_t> last_;
};

}  // namespace skopsfs::fuse
