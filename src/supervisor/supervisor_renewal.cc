// The part of Supervisor that has a new worker take over from one that still serves: for another
// program, or because the source has to be opened anew.

#include <fcntl.h>

#include "supervisor/supervisor.h"
#include "util/log.h"

namespace skopsfs::supervisor {
namespace {

using util::UniqueFd;

}  // namespace

void Supervisor::Upgrade() {
  if (ending_) return;
  // A worker that is starting or ending comes first.
  upgrade_wanted_ = next_ || !Serves();
  if (upgrade_wanted_) return;
  if (!KernelResends()) {
    util::LogError("no upgrade: this kernel is older than 6.9; restart skopsfs");
    return;
  }
  if (left_behind_.size() >= kMostLeftBehind) {
    util::LogError("no upgrade: {} workers that were killed cannot end", left_behind_.size());
    return;
  }
  UniqueFd program(open(program_path_.c_str(), O_PATH | O_CLOEXEC));
  if (!program) {
    util::LogError("no upgrade: {}: {}", util::Quoted(program_path_),
                   std::generic_category().message(errno));
    return;
  }
  util::LogInfo("a new worker is started to take over");
  try {
    next_ = Start(std::make_shared<UniqueFd>(std::move(program)), source_.MayBeOpenedAnew());
  } catch (const std::exception& error) {
    util::LogError("no upgrade: {}; the old worker stays", error.what());
  }
}

void Supervisor::OnNextEnded(WorkerStatus status) {
  // One that looks for the source has said what it found.
  const bool is_upgrade = std::exchange(next_, nullptr)->program() != program_;
  if (!ending_ && is_upgrade) {
    util::LogError("no upgrade: the new worker {}; the old one stays", Describe(status));
  }
  if (upgrade_wanted_) Upgrade();
}

void Supervisor::LookForSource() {
  source_.Looked();
  if (ending_ || next_ || !Serves()) return;
  try {
    next_ = Start(program_, true);
  } catch (const std::exception& error) {
    util::LogError("{}", error.what());
  }
}

}  // namespace skopsfs::supervisor
