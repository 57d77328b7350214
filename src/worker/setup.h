#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "catalog/descriptor_store.h"
#include "handover/channel.h"
#include "handover/identity.h"
#include "source/source.h"
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

// Receives what a new worker begins with. Throws util::Error when the supervisor is gone or speaks
// another protocol.
WorkerSetup ReceiveSetup(handover::Channel& supervisor);

// Tells the supervisor that the worker is prepared, and waits until it may take over. Throws
// likewise.
Inheritance ReceiveInheritance(handover::Channel& supervisor);

// Opens the source by its path, which may lead elsewhere than when the supervisor opened it. Tells
// the supervisor of it. If the path may not be opened, but what was opened before may, that stays
// the source. To be called by the user who serves, so that nobody sees what that user may not
// reach, and before the sandbox is entered. Throws util::Error.
void OpenSourceAnew(const handover::Channel& supervisor, WorkerSetup& setup);

// Makes the calling process a worker: it ends with its parent, and its log goes to `supervisor`,
// which must live as long as the process.
void BecomeWorker(const handover::Channel& supervisor);

}  // namespace skopsfs::worker
