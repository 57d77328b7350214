#include "worker/current_request.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>

#include "util/clock.h"
#include "util/progress.h"

namespace skopsfs::worker {
namespace {

using handover::RequestRecord;
using handover::RequestSeen;

// The calling thread's. In the executable, so that a signal handler may read it.
thread_local RequestRecord* current = nullptr;
thread_local handover::Counters* counting = nullptr;
thread_local bool handed_on = false;  // what it is at

// What OnCrash() runs on, since the crash may be that a stack has no room left. The thread's own
// from its start, so that there is no moment without.
alignas(16) thread_local std::array<std::byte, size_t{32} << 10> crash_stack;

// Unless a sanitizer has given the thread another one.
void UseCrashStack() {
  stack_t stack{};
  if (sigaltstack(nullptr, &stack) != 0 || (stack.ss_flags & SS_DISABLE) == 0) return;
  stack = {.ss_sp = crash_stack.data(), .ss_flags = 0, .ss_size = crash_stack.size()};
  sigaltstack(&stack, nullptr);
}

constexpr std::array kCrashes = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGSYS, SIGTRAP};
std::array<struct sigaction, 65> previous_handlers;

// Somebody else's kill -SEGV says nothing about the request.
bool IsOwnFault(const siginfo_t& info) { return info.si_code > 0 || info.si_pid == getpid(); }

// Dies of the signal at once. Straight to the kernel: the signal may have come at any moment, and
// what libraries wrap around these calls may wait for what this very thread was at.
void Die(int number) {
  const std::array<uint64_t, 4> standard{};  // the kernel's struct sigaction, SIG_DFL
  const uint64_t mask = uint64_t{1} << (number - 1);
  syscall(SYS_rt_sigaction, number, standard.data(), nullptr, sizeof(mask));
  syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), number);
  syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &mask, nullptr, sizeof(mask));
}

void OnCrash(int number, siginfo_t* info, void* context) {
  if (!IsOwnFault(*info)) return Die(number);
  if (current != nullptr && current->unique != 0) current->crashed = static_cast<uint32_t>(number);
  const auto& previous = previous_handlers[static_cast<size_t>(number)];
  if ((previous.sa_flags & SA_SIGINFO) != 0) return previous.sa_sigaction(number, info, context);
  Die(number);
}

}  // namespace

void Write(RequestRecord& record, const RequestSeen& request) {
  record.unique = 0;
  record.node = request.node;
  record.operation = request.operation;
  record.since = request.since;
  record.asked = request.asked;
  record.unique = request.unique;
}

void KeepRecord(RequestRecord* record, handover::Counters* counters) {
  current = record;
  counting = counters;
  util::KeepProgress(record != nullptr ? &record->progress : nullptr);
  UseCrashStack();
}

void CountFailure(int error) noexcept {
  if (counting != nullptr && current != nullptr) {
    counting->Failed(handover::OperationOf(current->operation), error);
  }
}

CurrentRequest::CurrentRequest(const RequestSeen& request)
    : asked_(request.asked != 0 ? request.asked : util::MonotonicNow()) {
  handed_on = false;
  if (current == nullptr) return;
  RequestSeen begun = request;
  begun.since = util::MonotonicNow();
  begun.asked = asked_;
  Write(*current, begun);
  current->begun.fetch_add(1, std::memory_order_relaxed);
}

// One that ran on the same thread meanwhile, after this was handed on, has left no record.
CurrentRequest::~CurrentRequest() {
  if (current == nullptr) return;
  if (counting != nullptr && current->unique != 0 && !handed_on) {
    counting->Finished(handover::OperationOf(current->operation), util::MonotonicNow() - asked_);
  }
  Write(*current, {});
}

RequestSeen CurrentRequest::HandOn() {
  if (current == nullptr) return {};
  handed_on = true;
  return {current->unique, current->node, current->since, current->operation, 0, current->asked};
}

void MarkCrashes() {
  struct sigaction action {};
  action.sa_sigaction = OnCrash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (const int number : kCrashes) {
    sigaction(number, &action, &previous_handlers[static_cast<size_t>(number)]);
  }
}

}  // namespace skopsfs::worker
