#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "archive/page_cache.h"
#include "util/error.h"
#include "worker/sandbox.h"

namespace skopsfs::worker {
namespace {

// docs/security.md lists them.
constexpr std::array kForServing = {
    // Reading the source.
    SCMP_SYS(read),
    SCMP_SYS(pread64),
    SCMP_SYS(lseek),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(fstatfs),
    SCMP_SYS(getdents64),
    SCMP_SYS(fadvise64),
    SCMP_SYS(fdatasync),
    archive::kCacheStat,
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getxattr),
    SCMP_SYS(fgetxattr),
    // Answering the kernel, and talking to the supervisor.
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(readv),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(eventfd2),
};
// What any program takes.
constexpr std::array kForRunning = {
    // Memory and threads.
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(restart_syscall),
    // Signals, clocks and what libraries ask for.
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getrlimit),
};
constexpr std::array kForMetrics = {
    SCMP_SYS(poll),  SCMP_SYS(accept4), SCMP_SYS(read),     SCMP_SYS(recvfrom),
    SCMP_SYS(write), SCMP_SYS(sendto),  SCMP_SYS(shutdown), SCMP_SYS(close),
};

class Filter {
 public:
  explicit Filter(uint32_t otherwise = SCMP_ACT_ERRNO(EPERM)) : filter_(seccomp_init(otherwise)) {
    if (filter_ == nullptr) throw util::ErrnoError("seccomp", ENOMEM);
  }
  ~Filter() { seccomp_release(filter_); }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  template <typename... Conditions>
  void Allow(int call, Conditions... conditions) {
    Rule(SCMP_ACT_ALLOW, call, conditions...);
  }
  template <typename... Conditions>
  void Rule(uint32_t action, int call, Conditions... conditions) {
    Check(seccomp_rule_add(filter_, action, call, sizeof...(conditions), conditions...));
  }

  void Load() {
    // Of all threads, if a sanitizer has started one.
    Check(seccomp_attr_set(filter_, SCMP_FLTATR_CTL_TSYNC, 1));
    Check(seccomp_load(filter_));
  }

 private:
  static void Check(int result) {
    if (result != 0) throw util::ErrnoError("seccomp", -result);
  }

  scmp_filter_ctx filter_;
};

// Memory that RLIMIT_DATA counts, and that of files which the supervisor has given: nothing shared
// that is of no file, no stacks that grow.
void AllowBoundedMemory(Filter& filter) {
  const auto no_code = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
  constexpr uint64_t kKind = MAP_TYPE | MAP_GROWSDOWN;
  filter.Allow(SCMP_SYS(mmap), no_code, SCMP_A3(SCMP_CMP_MASKED_EQ, kKind, MAP_PRIVATE));
  filter.Allow(SCMP_SYS(mmap), no_code,
               SCMP_A3(SCMP_CMP_MASKED_EQ, kKind | MAP_ANONYMOUS, MAP_SHARED));
}

void AllowRunning(Filter& filter) {
  for (const int call : kForRunning) filter.Allow(call);
  AllowBoundedMemory(filter);
  filter.Allow(SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  // Threads, but no processes. The flags of clone3 lie in memory; libraries then use clone.
  filter.Allow(SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
  filter.Rule(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
  filter.Allow(SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(getpid())));
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  // Sanitizers probe memory by writing it to a pipe.
  for (const int call : {SCMP_SYS(pipe), SCMP_SYS(pipe2)}) filter.Allow(call);
#endif
  // Limits are asked for, not set.
  filter.Allow(SCMP_SYS(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0));
}

}  // namespace

void RestrictToReadingAndWriting() {
  Filter filter(SCMP_ACT_KILL_PROCESS);
  for (const int call : {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(exit_group)}) filter.Allow(call);
  filter.Load();
}

void RestrictSystemCallsToMetrics() {
  Filter filter;
  for (const int call : kForMetrics) filter.Allow(call);
  AllowRunning(filter);
  filter.Load();
}

void RestrictSystemCalls(bool files_are_contained) {
  Filter filter;
  for (const int call : kForServing) filter.Allow(call);
  AllowRunning(filter);
  // Files are opened for reading only, and none is made.
  constexpr uint64_t kWrites = O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
  filter.Allow(SCMP_SYS(open), SCMP_A1(SCMP_CMP_MASKED_EQ, kWrites, O_RDONLY));
  filter.Allow(SCMP_SYS(openat), SCMP_A2(SCMP_CMP_MASKED_EQ, kWrites, O_RDONLY));
  // Its flags lie in memory, out of a filter's reach.
  filter.Rule(files_are_contained ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2));
  // Not those that have the kernel send signals (F_SETOWN), nor those that change what the
  // supervisor and a successor share (F_SETFL).
  for (const scmp_datum_t command : {F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC}) {
    filter.Allow(SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, command));
  }
  // A lease for writing would hold up who opens the file, even to read it.
  for (const scmp_datum_t lease : {F_RDLCK, F_UNLCK}) {
    filter.Allow(SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_SETLEASE), SCMP_A2(SCMP_CMP_EQ, lease));
  }
  filter.Load();
}

}  // namespace skopsfs::worker
