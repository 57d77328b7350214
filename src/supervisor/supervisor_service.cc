// The part of Supervisor that tells a service manager how the mount is.

#include "handover/session_state.h"
#include "supervisor/supervisor.h"

namespace skopsfs::supervisor {

void Supervisor::GiveSignOfLife() {
  std::optional<ServiceStatus::Requests> requests;
  if (Serves() && !ending_) {
    requests = {.wait = mount_->HasRequests(),
                .begun = handover::SessionState::RequestsBegun(session_memory_.get()),
                .source_hangs = watch_.SourceHangs(*current_)};
  }
  service_.GiveSignOfLife(current_ != nullptr, requests);
}

}  // namespace skopsfs::supervisor
