#include "supervisor/program_replacement.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "supervisor/execute.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::supervisor {
namespace {

using handover::SupervisorState;
using util::UniqueFd;

constexpr auto kCheckTimeout = std::chrono::seconds(10);
constexpr const char* kThisProgram = "/proc/self/exe";

bool IsThisProgram(int program) {
  struct stat that {};
  struct stat own {};
  return fstat(program, &that) == 0 && stat(kThisProgram, &own) == 0 && that.st_dev == own.st_dev &&
         that.st_ino == own.st_ino;
}

std::string FirstArgument(int memory, int previous) {
  return fmt::format("{}{},{}", kSupervisorProcess, memory, previous);
}

std::vector<const char*> Words(const std::string& first,
                               const std::vector<std::string>& arguments) {
  std::vector<const char*> words = {"skopsfs", first.c_str()};
  for (const auto& argument : arguments) words.push_back(argument.c_str());
  words.push_back(nullptr);
  return words;
}

// Returns only when it fails.
void Become(int program, const std::vector<const char*>& words) {
  execveat(program, "", const_cast<char* const*>(words.data()), environ, AT_EMPTY_PATH);
}

constexpr std::array kFailures = {SIGSEGV, SIGBUS, SIGFPE,  SIGILL,
                                  SIGABRT, SIGSYS, SIGTRAP, SIGALRM};
constexpr unsigned kTakeOverSeconds = 10;
const WayBack* way_back = nullptr;  // for the signal handler

void SetHandlers(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_NODEFER;  // the old program is not to have it blocked
  for (const int signal : kFailures) sigaction(signal, &action, nullptr);
}

void OnFailure(int signal) {
  alarm(0);
  way_back->Go();
  SetHandlers(SIG_DFL);
  raise(signal);
}

}  // namespace

void ProgramReplacement::Schedule(WorkerProcess::Program program, Clock::duration after) {
  Cancel();
  if (IsThisProgram(program->get())) return;
  program_ = std::move(program);
  due_ = Clock::now() + after;
}

void ProgramReplacement::Cancel() {
  if (child_ > 0) kill(child_, SIGKILL);
  child_ = -1;
  answer_.Reset();
  due_.reset();
  is_checked_ = false;
}

void ProgramReplacement::Refuse(const std::string& why) {
  Cancel();
  util::LogError("the supervisor stays the program that it is; the new one cannot follow it: {}",
                 why);
}

void ProgramReplacement::Check(const SupervisorState& state) try {
  if (child_ > 0) return Refuse("it does not come up");
  BeginCheck(state);
} catch (const util::Error& error) {
  Refuse(error.what());
}

void ProgramReplacement::BeginCheck(const SupervisorState& state) {
  constexpr auto kWhat = "starting its check";
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw util::ErrnoError(kWhat);
  answer_.Reset(ends[0]);
  const UniqueFd theirs(ends[1]);
  const auto memory = handover::SealedMemory(state.Facts());
  const std::array kept = {memory.get(), theirs.get()};
  child_ = supervisor::Execute(program_->get(), kStateCheckProcess, kept, arguments_);
  if (child_ < 0) throw util::ErrnoError(kWhat);
  due_ = Clock::now() + kCheckTimeout;
}

void ProgramReplacement::Answer(int memory, int answer) {
  try {
    SupervisorState::FromFacts(handover::ReadSealedMemory(memory));
    _exit(EXIT_SUCCESS);
  } catch (const std::exception& error) {
    const std::string_view why = error.what();
    [[maybe_unused]] const auto written = write(answer, why.data(), why.size());
    _exit(EXIT_FAILURE);
  }
}

bool ProgramReplacement::Ended(pid_t pid, int status) {
  if (pid != child_) return false;
  child_ = -1;
  std::array<char, 1024> why{};
  const ssize_t got = read(answer_.get(), why.data(), why.size());
  is_checked_ = status == 0;
  due_ = Clock::now();
  if (is_checked_) return true;
  Refuse(got > 0 ? std::string(why.data(), static_cast<size_t>(got)) : "it " + Describe(status));
  return true;
}

void ProgramReplacement::Execute(const SupervisorState& state) try {
  const auto memory = handover::SealedMemory(state.FactsToExecute());
  const UniqueFd previous(open(kThisProgram, O_PATH | O_CLOEXEC));
  if (!previous) throw util::ErrnoError("finding this program in /proc");
  auto kept = state.Descriptors();
  kept.insert(kept.end(), {memory.get(), previous.get()});
  for (const int fd : kept) fcntl(fd, F_SETFD, 0);
  const auto first = FirstArgument(memory.get(), previous.get());
  Become(program_->get(), Words(first, arguments_));
  const int error = errno;
  for (const int fd : kept) fcntl(fd, F_SETFD, FD_CLOEXEC);
  Refuse(strerrordesc_np(error));
} catch (const util::Error& error) {
  Refuse(error.what());
}

WayBack::WayBack(std::pair<int, int> given, const std::vector<std::string>& arguments)
    : program_(given.second),
      first_(FirstArgument(given.first, -1)),
      words_(Words(first_, arguments)) {
  if (program_ < 0) return;
  way_back = this;
  SetHandlers(OnFailure);
  sigset_t time;  // the program before had it blocked
  sigemptyset(&time);
  sigaddset(&time, SIGALRM);
  sigprocmask(SIG_UNBLOCK, &time, nullptr);
  alarm(kTakeOverSeconds);
}

WayBack::~WayBack() {
  alarm(0);
  SetHandlers(SIG_DFL);
  way_back = nullptr;
}

void WayBack::Go() const {
  if (program_ >= 0) Become(program_, words_);
}

}  // namespace skopsfs::supervisor
