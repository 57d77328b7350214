#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "handover/channel.h"
#include "handover/supervisor_state.h"
#include "source/source.h"
#include "supervisor/mount.h"

namespace skopsfs::supervisor {

// The source as all workers get it: opened once, and anew by a worker when it was gone. Says when
// a worker is to look for one that is gone. Use from one thread.
class SharedSource {
 public:
  using Clock = std::chrono::steady_clock;

  // To be made before it is mounted. `mount` has to live longer.
  SharedSource(const source::Source& source, const MountOptions& mount);
  // The one that was handed over.
  SharedSource(const handover::SupervisorState& state, const MountOptions& mount);

  void SaveTo(handover::SupervisorState& state) const;

  const std::string& path() const { return parts_.path; }
  bool is_single_archive() const { return parts_.is_single_archive; }
  // What its archives lie on, where that is known.
  std::optional<dev_t> device() const { return device_; }

  // Whether a worker may open it by its path: not where that leads through our own mount.
  bool MayBeOpenedAnew() const;

  void SendTo(const handover::Channel& worker, bool to_be_opened_anew) const;

  // From now on workers get what one of them has opened.
  void Replace(source::Source::Parts opened);

  // A worker has found that it is gone. Workers are to look for it from now on, if they may.
  void Gone(bool may_be_looked_for);
  bool is_looked_for() const { return look_at_.has_value(); }
  // When to look for it next; nothing when it is not gone.
  std::optional<Clock::time_point> look_at() const { return look_at_; }
  // One looks for it now.
  void Looked();
  // Whether the last worker that looked for it said the same. Each that finds it gone says so.
  bool IsSaidAgain(const std::string& line);
  // One that looked for it serves it.
  void Found();

 private:
  const MountOptions& mount_;
  source::Source::Parts parts_;
  bool is_mountpoint_ = false;
  std::optional<dev_t> device_;
  std::optional<Clock::time_point> look_at_;
  std::string last_said_;
};

}  // namespace skopsfs::supervisor
