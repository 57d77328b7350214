#include "supervisor/worker_process.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>

#include "supervisor/execute.h"
#include "util/error.h"

namespace skopsfs::supervisor {
namespace {

using handover::Channel;
using util::Error;

constexpr auto kStagePatience = std::chrono::seconds(30);
constexpr auto kEndPatience = std::chrono::seconds(7);  // the worker's own is 5 s

// The letter that /proc has for how a process is.
char LetterOf(pid_t pid) { return StateOf(fmt::format("/proc/{}", pid)).letter; }

}  // namespace

std::string Describe(WorkerStatus status) {
  if (!status) return "was killed, and cannot end, since a system call of it hangs";
  if (WIFEXITED(*status)) return fmt::format("ended with {}", WEXITSTATUS(*status));
  const char* const name = sigabbrev_np(WTERMSIG(*status));
  return fmt::format("was killed by SIG{}", name != nullptr ? name : "?");
}

WorkerProcess::WorkerProcess(Program program, bool opens_source_anew,
                             const std::vector<std::string>& arguments)
    : program_(std::move(program)), opens_source_anew_(opens_source_anew) {
  auto [ours, theirs] = Channel::Pair();
  channel_ = std::move(ours);
  channel_.BoundSending();
  pid_ = Execute(program_->get(), kWorkerProcess, std::array{theirs.descriptor()}, arguments);
  if (pid_ < 0) throw util::ErrnoError("starting a worker");
  end_.emplace(pid_);
}

WorkerProcess::WorkerProcess(Program program, pid_t pid, Channel channel)
    : program_(std::move(program)),
      opens_source_anew_(false),
      channel_(std::move(channel)),
      pid_(pid),
      stage_(Stage::kServing) {
  end_.emplace(pid_);
}

void WorkerProcess::Enter(Stage stage) {
  stage_ = stage;
  since_ = Clock::now();
}

void WorkerProcess::Prepared(uint64_t protocol_version) {
  if (stage_ != Stage::kStarting) throw Error(EPROTO, "it is prepared twice");
  handover::CheckProtocolVersion(protocol_version);
  Enter(Stage::kPrepared);
}

void WorkerProcess::SourceOpened(handover::Message message) {
  const bool may = opens_source_anew_ && stage_ == Stage::kStarting;
  if (!may || !message.fd) throw Error(EPROTO, "it sent a message that a worker does not send");
  if (!source_) source_.emplace();
  if (message.tell == handover::Tell::kSource) {
    source_->folder = std::move(message.fd);
  } else {
    source_->canonical_folder = std::move(message.fd);
    source_->canonical_path = std::move(message.text);
  }
}

void WorkerProcess::Serving() {
  if (stage_ != Stage::kTakingOver) throw Error(EPROTO, "it serves out of turn");
  Enter(Stage::kServing);
}

void WorkerProcess::ToldToTakeOver() { Enter(Stage::kTakingOver); }

std::optional<source::Source::Parts> WorkerProcess::TakeSource() {
  if (source_ && (!source_->folder || !source_->canonical_folder)) {
    throw Error(EPROTO, "it has not opened the source");
  }
  return std::exchange(source_, std::nullopt);
}

void WorkerProcess::TellToEnd() {
  told_to_end_ = true;
  channel_.Send(handover::Tell::kEnd);
  kill_at_ = Clock::now() + kEndPatience;
}

void WorkerProcess::KillSoon() {
  if (!kill_at_) kill_at_ = Clock::now() + kKillPatience;
}

bool WorkerProcess::IsToBeKilled() {
  if (!kill_at_ || Clock::now() < *kill_at_) return false;
  kill_at_.reset();
  return true;
}

void WorkerProcess::Kill() {
  kill(pid_, SIGKILL);
  killed_ = true;
  end_->Hurry();
}

bool WorkerProcess::RunsNoMore() { return Clock::now() >= end_->look_at() && end_->Look(); }

// Until it is prepared, and from when it takes over until it serves. Between the two it waits for
// its turn.
std::optional<WorkerProcess::Clock::time_point> WorkerProcess::StageDeadline() const {
  if (stage_ != Stage::kStarting && stage_ != Stage::kTakingOver) return std::nullopt;
  return since_ + kStagePatience;
}

bool WorkerProcess::IsLate() const {
  const auto deadline = StageDeadline();
  return deadline && Clock::now() >= *deadline;
}

WorkerProcess::Clock::time_point WorkerProcess::due() const {
  const auto look_at = end_->look_at();
  return std::min({look_at, kill_at_.value_or(look_at), StageDeadline().value_or(look_at)});
}

bool WorkerProcess::IsSleeping() const {
  const char letter = LetterOf(pid_);
  return letter == 'S' || letter == 'D';  // the latter in the kernel, where signals do not wake it
}

bool WorkerProcess::IsStopped() const { return LetterOf(pid_) == 'T'; }

}  // namespace skopsfs::supervisor
