// The part of Supervisor that judges workers: what they were at when they died, when there is to be
// another one, what takes too long.

#include <poll.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "catalog/slot_store.h"
#include "fs/node_id.h"
#include "fuse/session_state.h"
#include "fuse/supervisor.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::fuse {
namespace {

constexpr auto kLong = std::chrono::seconds(30);  // for a request
constexpr auto kLook = std::chrono::milliseconds(5000);
constexpr auto kShortest = std::chrono::milliseconds(10);
constexpr auto kLongest = std::chrono::milliseconds(1000);
constexpr auto kLooksWell = std::chrono::milliseconds(100);  // of serving

}  // namespace

std::string Supervisor::Describe(Status status) {
  if (!status) return "was killed, and cannot end as what it asks of the kernel hangs";
  if (WIFEXITED(*status)) return fmt::format("ended with {}", WEXITSTATUS(*status));
  const char* const name = sigabbrev_np(WTERMSIG(*status));
  return fmt::format("was killed by SIG{}", name != nullptr ? name : "?");
}

bool Supervisor::KernelResends() const {
  return kernel_resends_ ? *kernel_resends_ : SessionState::KernelResends(session_memory_.get());
}

void Supervisor::OnCrash(const Worker& ended, Status status, std::vector<RequestSeen> requests) {
  const bool served = ended.stage == Worker::Stage::kServing;
  // The kernel has not even said hello. Unless the worker was killed, it has said why.
  if (on_ready_ && !SessionState::HasInit(session_memory_.get())) {
    const bool has_said_why = status && WIFEXITED(*status);
    return GiveUp(has_said_why ? "" : "the worker " + Describe(status));
  }
  if (!KernelResends()) {
    return GiveUp(
        fmt::format("the worker {}; this kernel is older than 6.9, so no other can take "
                    "over: the mount is given up",
                    Describe(status)));
  }
  const bool well_before = served && Clock::now() - ended.since > kLooksWell;
  short_lives_ = well_before ? 0 : short_lives_ + 1;
  failed_starts_ = served ? 0 : failed_starts_ + 1;
  if (failed_starts_ >= kMostFailedStarts) {
    return GiveUp(fmt::format("no worker can be started, the last {}", Describe(status)));
  }
  TellOfCrash(Describe(status));
  util::LogError("the worker {}; another one takes over{}", Describe(status),
                 ended.program == program_ ? "" : ", of the program from before the upgrade");
  // What it said of itself is no archive's fault.
  std::erase_if(requests, [](auto& request) { return fs::NodeId::From(request.node).is_status(); });
  for (auto& request : requests) {
    const bool timed_out = std::any_of(timed_out_.begin(), timed_out_.end(),
                                       [&](auto& other) { return other.unique == request.unique; });
    if (timed_out) request.crashed = kTimedOut;
    // The root is another version of a single archive each time.
    if (source_.is_single_archive && fs::NodeId::From(request.node).slot == 0) {
      const auto seen = catalog::SlotStore::Read(slot_memory_.get(), 0);
      if (seen) request.node = fs::NodeId{.slot = seen->id, .index = 0}.number();
    }
  }
  timed_out_.clear();
  for (const auto slot : crashes_.WorkerDied(requests)) Quarantine(slot);
}

void Supervisor::GiveUp(const std::string& reason) {
  if (!reason.empty()) util::LogError("{}", reason);
  service_.Stopping(reason.empty() ? "the mount is given up; the log says why" : reason);
  outcome_ = false;
}

// Before the next start, longer each time.
Supervisor::Clock::duration Supervisor::Delay() const {
  if (short_lives_ == 0) return {};
  return std::min<Clock::duration>(kLongest, kShortest * (1 << std::min(short_lives_, 10)));
}

void Supervisor::StartAgain() {
  try {
    current_ = Start(program_, look_for_source_at_.has_value());
  } catch (const util::Error& error) {
    if (++failed_starts_ >= kMostFailedStarts) return GiveUp(error.what());
    util::LogError("{}", error.what());
    ++short_lives_;
    start_again_at_ = Clock::now() + Delay();
  }
}

std::string Supervisor::LabelOf(uint64_t slot) const {
  const auto seen = catalog::SlotStore::Read(slot_memory_.get(), slot);
  return util::Quoted(!seen || seen->path.empty() ? source_.path : seen->path);
}

// Requests that do not end are named, and may be the end of the worker.
void Supervisor::LookAtRequests() {
  const auto timeout = worker_options_.timeout;
  std::set<uint64_t> still;
  for (const auto& request : SessionState::ReadRequests(session_memory_.get())) {
    const int64_t now = util::MonotonicNow();
    const auto since = [&](int64_t moment) {
      return std::chrono::nanoseconds(now - std::clamp<int64_t>(moment, 0, now));
    };
    const auto age = since(request.asked);
    // One that waits for its turn waits for others, which are looked at themselves.
    const bool timed_out =
        timeout.count() > 0 && !request.is_queued && since(request.since) > timeout;
    if (timed_out) timed_out_.push_back(request);
    if (age < kLong && !timed_out) continue;
    still.insert(request.unique);
    if (told_.contains(request.unique) && !timed_out) continue;
    util::LogWarning("request {} of {} takes {} s{}", NameOfOperation(request.operation),
                     LabelOf(fs::NodeId::From(request.node).slot),
                     std::chrono::duration_cast<std::chrono::seconds>(age).count(),
                     timed_out ? "; the worker is replaced" : "");
  }
  told_ = std::move(still);
  if (!timed_out_.empty() || TakesNoRequests()) kill(current_->pid, SIGKILL);
  const auto pause = timeout.count() > 0 ? std::min(kLook, timeout / 2 + kShortest) : kLook;
  look_at_ = Clock::now() + pause;
}

// For how long requests have waited in the kernel and no thread of the worker took one: it is
// stopped, or each is at something that does not end.
Supervisor::Clock::duration Supervisor::WaitingInVain(Stall& stall) const {
  pollfd waiting{mount_->descriptor(), POLLIN, 0};
  const bool wait = poll(&waiting, 1, 0) > 0 && (waiting.revents & POLLIN) != 0;
  const uint64_t begun = SessionState::RequestsBegun(session_memory_.get());
  const auto now = Clock::now();
  if (!wait || begun != stall.begun) {
    stall = {.begun = begun, .since = std::nullopt};
    return {};
  }
  if (!stall.since) stall.since = now;
  return now - *stall.since;
}

// True when that has lasted for longer than it may.
bool Supervisor::TakesNoRequests() {
  const auto stalled = WaitingInVain(stall_);
  const auto timeout = worker_options_.timeout;
  const bool too_long = timeout.count() > 0 && stalled > timeout;
  if (stalled >= kLong || too_long) {
    util::LogWarning("requests wait, and the worker takes none{}",
                     too_long ? "; the worker is replaced" : "");
  }
  return too_long;
}

void Supervisor::Quarantine(uint64_t slot) {
  const auto seen = catalog::SlotStore::Read(slot_memory_.get(), slot);
  const auto& reason = crashes_.quarantined().at(slot);
  if (!seen || seen->is_folder) {
    // Without it there is nothing to serve below it.
    return util::LogError("{}: {}; it is served all the same, being a folder", LabelOf(slot),
                          reason);
  }
  quarantined_[slot] = seen->identity;
  util::LogError("{}: is not served any more: {}", LabelOf(slot), reason);
}

}  // namespace skopsfs::fuse
