#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "handover/supervisor_state.h"
#include "util/unique_fd.h"

namespace skopsfs::supervisor {

// What the service manager has kept for this start (see ServiceStore), read as a stranger's. Owns
// the descriptors. Use from one thread.
class StoredState {
 public:
  // Takes it from the environment. Programs that are executed get nothing of it.
  StoredState();

  bool empty() const { return unread_.empty(); }

  // What a supervisor needs to go on, but for the source and the user. The descriptors stay this
  // object's. Throws util::Error with the reason when the mount cannot be gone on with, as this
  // program was started: it is to be mounted at `mountpoint`, and `arguments` are the program's.
  handover::SupervisorState Read(const std::string& mountpoint,
                                 const std::vector<std::string>& arguments);

  // A supervisor goes on with it: the kept descriptors are its own now, and the manager forgets
  // what was not read.
  void IsGoneOnWith();
  // It serves. Until then a start counts as one that failed, and after ten such nobody goes on.
  void IsServed() const { Forget(starts_); }

  // Ends the mount that was stored, if it is still there, and has the manager forget it.
  void Abandon();

 private:
  void ReadFacts();
  void ReadKept(handover::SupervisorState& state);
  void CountStart();
  static void Forget(const std::set<std::string>& names);

  std::multimap<std::string, util::UniqueFd> all_;  // by name
  std::set<std::string> unread_;                    // names
  std::set<std::string> starts_;                    // likewise, one for each that did not serve
  std::optional<handover::SupervisorState> facts_;
  std::vector<util::UniqueFd> kept_;
};

}  // namespace skopsfs::supervisor
