#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "handover/identity.h"
#include "util/unique_fd.h"

namespace skopsfs::handover {

// All that a supervisor leaves to the one that goes on with its mount. Its written form is facts,
// and descriptors in a fixed order. A fact is "NAME=VALUE" and a zero byte; the first one is the
// version of the form. Facts of other names are ignored, so that a newer program may add some. The
// descriptors belong to whoever has written or read the state.
struct SupervisorState {
  static constexpr uint64_t kVersion = 1;  // a new one for what an older program must not ignore
  static constexpr size_t kMostBytes = size_t{16} << 20;
  static constexpr size_t kMostFacts = 500'000;

  struct Kept {
    uint64_t number = 0;
    uint64_t slot = 0;
    bool operator==(const Kept&) const = default;
  };
  struct Quarantined {
    uint64_t slot = 0;
    Identity identity;  // all zeros for a folder
    std::string reason;
    bool operator==(const Quarantined&) const = default;
  };

  uint64_t protocol = 0;  // kProtocolVersion of the worker and of what it has in memory
  std::string program_path;
  std::string mountpoint;
  bool is_passed = false;                        // somebody else has mounted
  std::optional<uint64_t> mount_id = {};         // these three: see FoundMount
  std::optional<uint64_t> mount_device = {};     //
  std::optional<uint64_t> unique_mount_id = {};  //
  std::string source_path;
  std::string canonical_source_path;
  bool is_single_archive = false;
  bool source_is_mountpoint = false;
  std::optional<uint64_t> source_device = {};
  bool source_is_looked_for = false;  // as it is gone
  uint32_t user = 0;
  uint32_t group = 0;
  bool user_stays = false;  // see util::ServingUser
  bool kernel_resends = false;
  uint32_t generation = 0;              // of the last worker that was to take over
  uint32_t crashes = 0;                 // of workers
  std::string last_crash = {};          // what is said of it
  bool is_followed = false;             // see Successor
  std::optional<pid_t> worker_pid{};    // a child of the process that goes on
  std::vector<pid_t> left_behind = {};  // likewise, workers that were killed and cannot end
  std::vector<Kept> kept = {};
  std::vector<std::string> arguments = {};    // of the program
  std::optional<uint64_t> stored_facts = {};  // see ServiceStore
  std::vector<Quarantined> quarantined = {};

  // In this order. The listener and those of the worker are -1 when there is none.
  int fuse = -1;
  int session = -1;
  int slots = -1;
  int counters = -1;
  int source = -1;
  int canonical_source = -1;
  int notification_sender = -1;
  int notification_receiver = -1;
  int listener = -1;
  int worker_channel = -1;
  int worker_program = -1;
  std::vector<int> kept_descriptors = {};  // as many as there are `kept`

  bool operator==(const SupervisorState&) const = default;

  std::vector<int> Descriptors() const;
  std::string Facts() const;

  // Throws util::Error(EPROTO), which says what is wrong. Nothing is taken for granted: not the
  // version, nor that a fact is there, nor that the descriptors are open.
  static SupervisorState From(std::string_view facts, const std::vector<int>& descriptors);
  // The same without descriptors.
  static SupervisorState FromFacts(std::string_view facts);

  // The same for a program that this process becomes: its descriptors keep their numbers, which are
  // facts, too.
  std::string FactsToExecute() const;
  static SupervisorState FromExecuted(std::string_view facts);
  // To be called once all descriptors but the kept ones were duplicated.
  void CloseDuplicated() const;
};

// `facts` in a sealed memory. Throws util::Error.
util::UniqueFd SealedMemory(std::string_view facts);
// Throws util::Error(EPROTO) for what is not sealed, or too large.
std::string ReadSealedMemory(int memory);

}  // namespace skopsfs::handover
