#include "fuse/session_state.h"

#include <linux/fuse.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "util/clock.h"
#include "util/error.h"
#include "util/shared_memory.h"

namespace skopsfs::fuse {
namespace {

using util::ErrnoError;
using util::Error;

// Since Linux 6.9; not in the headers of Debian 12.
constexpr uint64_t kHasResend = uint64_t{1} << 39;

// The calling thread's. In the executable, so that a signal handler may read it.
thread_local RequestRecord* current = nullptr;
thread_local metrics::Counters* counting = nullptr;
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

struct InitRequest {
  fuse_in_header header;
  fuse_init_in init;
};

// All zeros for anything else.
InitRequest InitOf(std::span<const std::byte> bytes) {
  InitRequest request{};
  if (bytes.size() >= sizeof(request)) std::memcpy(&request, bytes.data(), sizeof(request));
  return request.header.len >= sizeof(request) ? request : InitRequest{};
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

metrics::Operation OperationOf(uint32_t operation) {
  using enum metrics::Operation;
  constexpr std::array<std::pair<uint32_t, metrics::Operation>, 15> kKnown = {
      {{FUSE_LOOKUP, kLookup},
       {FUSE_GETATTR, kGetattr},
       {FUSE_READLINK, kReadlink},
       {FUSE_OPEN, kOpen},
       {FUSE_READ, kRead},
       {FUSE_RELEASE, kRelease},
       {FUSE_OPENDIR, kOpendir},
       {FUSE_READDIR, kReaddir},
       {FUSE_READDIRPLUS, kReaddir},
       {FUSE_RELEASEDIR, kReleasedir},
       {FUSE_STATFS, kStatfs},
       {FUSE_GETXATTR, kGetxattr},
       {FUSE_LISTXATTR, kListxattr},
       {FUSE_FORGET, kForget},
       {FUSE_BATCH_FORGET, kForget}}};
  const auto found =
      std::ranges::find(kKnown, operation, &std::pair<uint32_t, metrics::Operation>::first);
  return found != kKnown.end() ? found->second : kOther;
}

const char* NameOfOperation(uint32_t operation) {
  return operation == 0 ? "housekeeping" : metrics::NameOf(OperationOf(operation));
}

util::UniqueFd SessionState::MakeMemory() {
  return util::MakeSharedMemory("skopsfs-session", sizeof(Memory));
}

SessionState::SessionState(const util::UniqueFd& memory) {
  struct stat st;
  if (fstat(memory.get(), &st) != 0) throw ErrnoError("the memory for the session");
  if (st.st_size != sizeof(Memory)) {
    throw Error(EPROTO, "the memory for the session is of another version of skopsfs");
  }
  void* mapping =
      mmap(nullptr, sizeof(Memory), PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (mapping == MAP_FAILED) throw ErrnoError("mapping the memory for the session");
  memory_ = static_cast<Memory*>(mapping);
  if (memory_->magic == 0) memory_->magic = kMagic;
  const uint64_t init_size = memory_->init_size;
  if (memory_->magic != kMagic || init_size > kMostInit ||
      (init_size != 0 && init_size < sizeof(fuse_in_header))) {
    munmap(memory_, sizeof(Memory));
    throw Error(EPROTO, "the memory for the session is of another version of skopsfs");
  }
}

SessionState::~SessionState() { munmap(memory_, sizeof(Memory)); }

std::span<const std::byte> SessionState::init() const {
  return std::span(memory_->init).first(memory_->init_size);
}

void SessionState::SaveInit(std::span<const std::byte> request) {
  if (request.size() > kMostInit) return;  // then a successor cannot go on, and says so
  std::copy(request.begin(), request.end(), memory_->init.begin());
  memory_->init_size = request.size();
}

int64_t SessionState::OldestRequest() const {
  int64_t oldest = INT64_MAX;
  for (const auto& request : memory_->requests) {
    if (request.unique != 0) oldest = std::min(oldest, request.asked.load());
  }
  return oldest;
}

void SessionState::ForgetRequests(int memory) {
  constexpr std::array<std::byte, sizeof(Requests)> kNone{};
  if (pwrite(memory, kNone.data(), kNone.size(), offsetof(Memory, requests)) < 0) {
    throw ErrnoError("clearing the memory for the session");
  }
}

bool SessionState::Read(int memory, Requests& requests) {
  return pread(memory, static_cast<void*>(requests.data()), sizeof(requests),
               offsetof(Memory, requests)) == sizeof(requests);
}

std::vector<RequestSeen> SessionState::ReadRequests(int memory) {
  Requests requests{};
  if (!Read(memory, requests)) throw ErrnoError("reading the memory for the session");
  std::vector<RequestSeen> found;
  for (const auto& request : requests) {
    if (request.unique == 0) continue;
    found.push_back({.unique = request.unique,
                     .node = request.node,
                     .since = request.since,
                     .operation = request.operation,
                     .crashed = request.crashed,
                     .asked = request.asked,
                     .is_queued = &request == &requests.back(),
                     .got_on = request.progress.got_on,
                     .waits_for = static_cast<util::WaitsFor>(request.progress.waits_for.load())});
  }
  return found;
}

uint64_t SessionState::RequestsBegun(int memory) {
  Requests requests{};
  uint64_t sum = 0;
  if (Read(memory, requests)) {
    for (const auto& request : requests) sum += request.begun;
  }
  return sum;
}

bool SessionState::HasInit(int memory) {
  uint64_t size = 0;
  return pread(memory, &size, sizeof(size), offsetof(Memory, init_size)) == sizeof(size) &&
         size > 0;
}

bool SessionState::KernelResends(int memory) {
  std::array<std::byte, kMostInit> init{};
  const ssize_t got = pread(memory, init.data(), init.size(), offsetof(Memory, init));
  return got == static_cast<ssize_t>(init.size()) && OffersResend(init);
}

bool SessionState::OffersResend(std::span<const std::byte> init) {
  const auto request = InitOf(init);
  const uint64_t flags = request.init.flags | uint64_t{request.init.flags2} << 32;
  return (flags & FUSE_INIT_EXT) != 0 && (flags & kHasResend) != 0;
}

bool SessionState::OffersPrune(std::span<const std::byte> init) {
  constexpr uint32_t kMinor = 45;  // of protocol 7
  const auto request = InitOf(init);
  return request.init.major == FUSE_KERNEL_VERSION && request.init.minor >= kMinor;
}

void Write(RequestRecord& record, const RequestSeen& request) {
  record.unique = 0;
  record.node = request.node;
  record.operation = request.operation;
  record.since = request.since;
  record.asked = request.asked;
  record.unique = request.unique;
}

void KeepRecord(RequestRecord* record, metrics::Counters* counters) {
  current = record;
  counting = counters;
  util::KeepProgress(record != nullptr ? &record->progress : nullptr);
  UseCrashStack();
}

void CountFailure(int error) noexcept {
  if (counting != nullptr && current != nullptr) {
    counting->Failed(OperationOf(current->operation), error);
  }
}

AtRequest::AtRequest(const RequestSeen& request)
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
AtRequest::~AtRequest() {
  if (current == nullptr) return;
  if (counting != nullptr && current->unique != 0 && !handed_on) {
    counting->Finished(OperationOf(current->operation), util::MonotonicNow() - asked_);
  }
  Write(*current, {});
}

RequestSeen AtRequest::HandOn() {
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

}  // namespace skopsfs::fuse
