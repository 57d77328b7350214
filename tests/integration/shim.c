// Preloaded into skopsfs by tests: makes it fail at a moment of their choosing. What it is to do
// stands in a file that it maps before the worker shuts itself in ($SKOPSFS_SHIM; shim.py writes
// it).

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { kAttempts = 24 };

// As in shim.py.
struct Control {
  _Atomic uint64_t crash_at;     // inode of a file: who reads it dies of a bad address
  _Atomic uint64_t overflow_at;  // likewise, of a stack without room
  _Atomic uint64_t hang_at;      // likewise, waits until this is 0 again
  _Atomic uint64_t slow_at;      // likewise, waits for a twentieth of a second
  _Atomic uint64_t stuck;        // decoding does not end until this is 0 again
  _Atomic uint64_t attack_at;  // likewise, tries what it must not, once; 1: who serves metrics does
  _Atomic uint64_t lie_at;     // likewise, misuses what it shares with the supervisor, once
  _Atomic uint64_t lie;        // how
  _Atomic uint64_t no_exec;    // no worker can be started
  _Atomic uint64_t old_kernel;         // the kernel looks like one that asks nothing again
  _Atomic uint64_t die_at_start;       // a worker kills itself before it does anything
  _Atomic uint64_t die_soon;           // inode of a program: its workers die after three seconds
  _Atomic uint64_t no_landlock;        // how asking for it fails, an errno
  _Atomic uint64_t metrics_hang;       // who is to serve metrics does nothing until this is 0 again
  _Atomic uint64_t no_prune;           // the kernel looks like one that takes no nodes to drop
  _Atomic uint64_t hang_at_start;      // only who reads its first byte does
  _Atomic uint64_t hanging;            // how often somebody has begun to wait
  _Atomic uint64_t faults;             // a bit for each kind of call that counts, and one fails
  _Atomic uint64_t fault_at;           // which one, by its number
  _Atomic uint64_t fault_errno;        // how, or kShort
  _Atomic uint64_t fault_calls;        // how many there were
  _Atomic uint64_t faulty;             // a bit for each kind of call that has failed
  _Atomic uint64_t slow_lease;         // microseconds that each question for a lease takes
  _Atomic uint64_t like_nfs;           // files look like those of NFSv4 without a delegation
  _Atomic uint64_t other_protocol;     // a worker says that it speaks one
  _Atomic uint64_t crash_taking_over;  // inode of a program: a supervisor that becomes it crashes
  _Atomic uint64_t hang_taking_over;   // the same, it does nothing more
  _Atomic uint64_t no_poll;            // how waiting for events fails, an errno
  _Atomic uint64_t throws;             // it throws instead, once
  _Atomic uint64_t attempts;           // how many of these are written
  _Atomic uint64_t result[kAttempts];  // errno of each; 0: it worked
};

// Kinds of calls, in the order of CALLS in test_faults.py.
enum Call {
  kPread,
  kOpen,
  kOpenat,
  kOpenat2,
  kFstat,
  kStatx,
  kReadlinkat,
  kGetxattr,
  kFcntl,
  kFadvise,
  kFstatfs,
  kFstatvfs,
  kFdopendir,
  kReaddir,
  kSendmsg,
  kWritev,
};
// What a worker may do to its supervisor and to its successor, in the order of LIES in
// test_hostile_worker.py.
enum Lie {
  kDamagedMessage,
  kUnknownMessage,
  kMessageOutOfTurn,
  kNoMoreMessages,
  kManyDescriptors,
  kManyLines,
  kFlippedBits,
  kNoMemory,
  kFalseEnd,
  kOldRequests,
};
enum { kShort = 1000 };  // rather than an errno: a read gives half of what was asked for

static struct Control* control;
static struct Control nothing;
static int is_worker;
static int is_metrics_server;
static int channel = -1;  // the worker's, to the supervisor
// What it shares with the supervisor and its successor: SessionState and SlotStore.
static struct {
  unsigned char* bytes;
  size_t size;
} shared[2];

// A message as in handover/channel.cc and channel.h.
enum { kPrepared = 8, kKeep = 13, kLog = 15 };
static void Send(uint32_t tell, uint64_t number, int fd, const char* text) {
  struct {
    uint32_t tell;
    uint32_t text_size;
    uint64_t number;
    uint64_t slot;
  } head = {tell, (uint32_t)strlen(text), number, number};
  struct iovec parts[2] = {{&head, sizeof(head)}, {(char*)text, strlen(text)}};
  _Alignas(struct cmsghdr) char rights[CMSG_SPACE(sizeof(int))] = {0};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  if (fd >= 0) {
    message.msg_control = rights;
    message.msg_controllen = sizeof(rights);
    struct cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(part), &fd, sizeof(int));
  }
  sendmsg(channel, &message, MSG_NOSIGNAL);
}

static uint64_t takes_over;  // inode of the program that goes on with a mount

__attribute__((constructor)) static void Map(void) {
  control = &nothing;
  const char* path = getenv("SKOPSFS_SHIM");
  const int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void* mapped = mmap(NULL, sizeof(struct Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) control = mapped;
  char words[64] = {0};
  const int line = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  const ssize_t got = line < 0 ? 0 : read(line, words, sizeof(words) - 1);
  close(line);
  const char* first = words + strlen(words) + 1;
  is_worker = got > 0 && strncmp(first, "--worker=", 9) == 0;
  is_metrics_server = got > 0 && strncmp(first, "--metrics-server=", 17) == 0;
  if (is_worker) channel = atoi(first + 9);
  if (control->die_at_start && is_worker) raise(SIGKILL);
  if (control->other_protocol && is_worker) Send(kPrepared, 999, -1, "");
  if (control->metrics_hang && is_metrics_server) ++control->hanging;
  while (control->metrics_hang && is_metrics_server) usleep(10 * 1000);
  struct stat program = {0};
  stat("/proc/self/exe", &program);
  if (strncmp(first, "--supervisor=", 13) == 0) takes_over = program.st_ino;
  if (is_worker && program.st_ino == control->die_soon) {
    const struct itimerval soon = {.it_value = {.tv_sec = 3}};
    setitimer(ITIMER_REAL, &soon, NULL);
    sigset_t alarm;  // which a worker has blocked
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &alarm, NULL);
  }
}

// Unlike who keeps house: two faults there, one after the other, are a source that is gone.
static _Thread_local int answers_requests;

// Whether this call is the one to fail; then errno is set.
static int Fails(enum Call call) {
  if (!is_worker || !(control->faults >> call & 1)) return 0;
  if (!answers_requests && call != kFadvise) return 0;
  if (atomic_fetch_add(&control->fault_calls, 1) != control->fault_at) return 0;
  if (control->fault_errno == kShort && call != kPread) return 0;
  atomic_fetch_or(&control->faulty, UINT64_C(1) << call);
  errno = (int)control->fault_errno;
  return 1;
}

static void Note(int result) {
  const uint64_t number = atomic_fetch_add(&control->attempts, 1);
  if (number < kAttempts) control->result[number] = result == -1 ? (uint64_t)errno : 0;
}

// In the order of ATTEMPTS in test_sandbox.py.
static void Attack(int fd) {
  Note(open("/etc/passwd", O_RDONLY));
  Note(open("/tmp/skopsfs-was-here", O_RDWR | O_CREAT, 0600));
  Note(open("/tmp", O_RDWR | O_TMPFILE, 0600));
  Note(open("/proc/self/mem", O_RDWR));
  Note(open("/tmp/skopsfs-was-there", O_RDONLY | O_TRUNC));
  Note(fcntl(channel, F_SETOWN, getppid()));
  Note(fcntl(channel, F_SETFL, O_NONBLOCK));
  char* arguments[] = {"true", NULL};
  Note(fork());
  Note(execve("/bin/true", arguments, NULL));
  Note(socket(AF_INET, SOCK_STREAM, 0));
  Note(socket(AF_UNIX, SOCK_STREAM, 0));
  Note((int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
  Note(kill(getppid(), SIGKILL));
  Note(setuid(0));
  Note(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
  Note(unlink("/tmp/skopsfs-was-there"));
  void* code =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Note(code == MAP_FAILED ? -1 : 0);
  Note(fcntl(fd, F_SETLEASE, F_WRLCK));
  const int kinds[] = {MAP_SHARED | MAP_ANONYMOUS, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN};
  for (int i = 0; i < 2; ++i) {
    void* uncounted = mmap(NULL, 4096, PROT_READ | PROT_WRITE, kinds[i], -1, 0);
    Note(uncounted == MAP_FAILED ? -1 : 0);
  }
}

// Changes bits here and there in the table of requests and in the records of slots. What stands
// before them is left alone: what the kernel said at first, and that it is such memory.
static void FlipBits(uint64_t seed) {
  for (int i = 0; i < 2; ++i) {
    const size_t used = shared[i].size < 65536 ? shared[i].size : 65536;
    for (size_t at = i == 0 ? 536 : 4096; at < used; ++at) {
      seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
      if (seed >> 58 == 0) shared[i].bytes[at] ^= (unsigned char)(1 << (seed >> 50 & 7));
    }
  }
}

// Requests from long ago, as many as there may be, for what lies in folder below folder, at the end
// of records of which there seem to be as many as there may be.
static void ClaimOldRequests(void) {
  enum { kRequests = 536, kRequest = 64, kSlots = 4096, kId = 40, kRecords = 1 << 22, kDeep = 70 };
  const uint32_t live = 0x4c495645;
  uint64_t size = 0;
  memcpy(&size, shared[1].bytes + 8, sizeof(size));
  const uint64_t first = kRecords - kDeep;
  for (uint64_t i = 0; i < kRecords; i += i < first - 1024 ? 1024 : 1) {
    unsigned char* record = shared[1].bytes + kSlots + i * size;
    const uint64_t ids[3] = {i + 1, i > first ? i : 0,
                             i + 1};  // its own, its folder's, when it was made
    memcpy(record + kId, ids, sizeof(ids));
    if (i >= first) memcpy(record, &live, sizeof(live));
  }
  for (int i = 20; i < 63; ++i) {
    const uint64_t request[7] = {(uint64_t)(1000 + i), (uint64_t)kRecords << 29, 1, 1, 0, 0, 1};
    memcpy(shared[0].bytes + kRequests + i * kRequest, request, sizeof(request));
  }
}

// `number` is that of the lie, and above it a seed.
static void Lie(uint64_t number, int fd) {
  char text[64];
  struct iovec half = {"half", 4};
  const struct msghdr damaged = {.msg_iov = &half, .msg_iovlen = 1};
  const struct msghdr nothing_said = {0};
  switch ((enum Lie)(number & 0xff)) {
    case kDamagedMessage:
      sendmsg(channel, &damaged, MSG_NOSIGNAL);
      return;
    case kUnknownMessage:
      return Send(999, 0, -1, "what?");
    case kMessageOutOfTurn:
      return Send(kPrepared, 0, -1, "");
    case kNoMoreMessages:  // as one who has closed its end says it, and then it goes on
      sendmsg(channel, &nothing_said, MSG_NOSIGNAL);
      for (;;) usleep(1000);
    case kManyDescriptors:
      for (uint64_t i = 0; i < 5000; ++i) Send(kKeep, UINT64_C(1) << 60 | i, fd, "");
      return;
    case kManyLines:
      for (uint64_t i = 0; i < 5000; ++i) {
        snprintf(text, sizeof(text), "\n\033[2J\xc2\x9b\x9b root: line %d of a liar\r", (int)i);
        Send(kLog, UINT64_MAX, -1, text);
      }
      return;
    case kOldRequests:
      return ClaimOldRequests();
    case kFlippedBits:
      FlipBits(number >> 8);
      break;
    case kNoMemory:
      for (int i = 0; i < 2; ++i) memset(shared[i].bytes, 0xa5, shared[i].size & 0xffffff);
      break;
    case kFalseEnd:
      _exit(0);
  }
  raise(SIGKILL);
}

// Of the supervisor's loop, which waits for many.
int poll(struct pollfd* events, nfds_t count, int timeout) {
  static int (*real)(struct pollfd*, nfds_t, int);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "poll");
  if (is_worker || is_metrics_server || control == NULL || count == 1) {
    return real(events, count, timeout);
  }
  if (atomic_exchange(&control->throws, 0)) {
    void (*throw_it)(const char*);
    *(void**)&throw_it = dlsym(RTLD_DEFAULT, "_ZSt20__throw_out_of_rangePKc");
    throw_it("as a test wants it");
  }
  if (control->no_poll == 0) return real(events, count, timeout);
  errno = (int)control->no_poll;
  return -1;
}

static int Is(int fd, uint64_t inode) {
  struct stat st;
  return inode != 0 && fstat(fd, &st) == 0 && st.st_ino == inode;
}

// Until there is no stack left.
static volatile int deeper = 1;
static int Overflow(int depth) {
  volatile char room[4096];
  room[0] = (char)depth;
  return (deeper ? Overflow(depth + 1) : 0) + room[0];
}

ssize_t pread64(int fd, void* bytes, size_t size, off64_t offset) {
  static ssize_t (*real)(int, void*, size_t, off64_t);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "pread64");
  if (Is(fd, control->crash_at)) *(volatile int*)8 = 1;
  if (Is(fd, control->overflow_at)) Overflow(0);
  if (Is(fd, control->attack_at)) {
    control->attack_at = 0;
    Attack(fd);
  }
  if (Is(fd, control->lie_at)) {
    control->lie_at = 0;
    Lie(control->lie, fd);
  }
  if (offset == 0 || !control->hang_at_start) {
    if (Is(fd, control->hang_at)) ++control->hanging;
    while (Is(fd, control->hang_at)) usleep(1000);
  }
  if (Is(fd, control->slow_at)) usleep(50 * 1000);
  if (Fails(kPread)) {
    if (errno != kShort) return -1;
    size /= 2;
  }
  return real(fd, bytes, size, offset);
}

int isal_inflate(void* state) {
  static int (*real)(void*);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "isal_inflate");
  if (control->stuck) ++control->hanging;
  while (control->stuck) usleep(1000);
  return real(state);
}

ssize_t recv(int fd, void* bytes, size_t size, int flags) {
  static ssize_t (*real)(int, void*, size_t, int);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "recv");
  if (is_metrics_server && control->attack_at == 1) {
    control->attack_at = 0;
    Attack(fd);
  }
  return real(fd, bytes, size, flags);
}

// Calls that do nothing but fail when it is their turn.
#define SHIM(call, result, failed, name, parameters, arguments) \
  result name parameters {                                      \
    static result(*real) parameters;                            \
    if (!real) *(void**)&real = dlsym(RTLD_NEXT, #name);        \
    if (Fails(call)) return failed;                             \
    return real arguments;                                      \
  }

struct statx;
SHIM(kFstat, int, -1, fstat64, (int fd, struct stat64* st), (fd, st))
static const unsigned kUniqueMountId = 0x4000;  // as in supervisor/mountpoint.cc
SHIM(kStatx, int, -1, statx,
     (int folder, const char* restrict path, int flags, unsigned mask, struct statx* restrict st),
     (folder, path, flags, control->old_kernel ? mask & ~kUniqueMountId : mask, st))
SHIM(kReadlinkat, ssize_t, -1, readlinkat,
     (int folder, const char* path, char* target, size_t size), (folder, path, target, size))
SHIM(kGetxattr, ssize_t, -1, getxattr,
     (const char* path, const char* name, void* value, size_t size), (path, name, value, size))
SHIM(kFadvise, int, errno, posix_fadvise64, (int fd, off64_t start, off64_t size, int advice),
     (fd, start, size, advice))
SHIM(kFstatvfs, int, -1, fstatvfs64, (int fd, struct statvfs64* st), (fd, st))
SHIM(kFdopendir, DIR*, NULL, fdopendir, (int fd), (fd))
SHIM(kReaddir, struct dirent64*, NULL, readdir64, (DIR * folder), (folder))
SHIM(kSendmsg, ssize_t, -1, sendmsg, (int fd, const struct msghdr* message, int flags),
     (fd, message, flags))

// Answers to the kernel; what it is told unasked has no number.
ssize_t writev(int fd, const struct iovec* parts, int count) {
  static ssize_t (*real)(int, const struct iovec*, int);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "writev");
  const struct fuse_out_header* header = parts[0].iov_base;
  const int is_answer = parts[0].iov_len == sizeof(*header) && header->unique != 0;
  return is_answer && Fails(kWritev) ? -1 : real(fd, parts, count);
}

int fstatfs64(int fd, struct statfs64* st) {
  static int (*real)(int, struct statfs64*);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "fstatfs64");
  if (Fails(kFstatfs)) return -1;
  const int result = real(fd, st);
  if (result == 0 && is_worker && control->like_nfs) st->f_type = NFS_SUPER_MAGIC;
  return result;
}

// The worker only opens what exists, so there is no mode.
int open64(const char* path, int flags, ...) {
  static int (*real)(const char*, int, ...);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "open64");
  return Fails(kOpen) ? -1 : real(path, flags);
}

int openat64(int folder, const char* path, int flags, ...) {
  static int (*real)(int, const char*, int, ...);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "openat64");
  return Fails(kOpenat) ? -1 : real(folder, path, flags);
}

int fcntl64(int fd, int command, ...) {
  static int (*real)(int, int, ...);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "fcntl64");
  va_list rest;
  va_start(rest, command);
  void* argument = va_arg(rest, void*);
  va_end(rest);
  if (Fails(kFcntl)) return -1;
  if (command == F_GET_SEALS && takes_over) {
    if (takes_over == control->crash_taking_over) raise(SIGSEGV);
    while (takes_over == control->hang_taking_over) usleep(10 * 1000);
  }
  if (is_worker && command == F_SETLEASE && argument == (void*)F_RDLCK) {
    usleep((useconds_t)control->slow_lease);
    if (control->like_nfs) {
      errno = EAGAIN;
      return -1;
    }
  }
  return real(fd, command, argument);
}

// Takes as many arguments as there may be, whatever it was given: the rest is what lies on the
// stack.
__attribute__((no_sanitize("address"))) long syscall(long number, ...) {
  static long (*real)(long, ...);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "syscall");
  va_list rest;
  va_start(rest, number);
  long a[6];
  for (int i = 0; i < 6; ++i) a[i] = va_arg(rest, long);
  va_end(rest);
  if (number == SYS_landlock_create_ruleset && control->no_landlock) {
    errno = (int)control->no_landlock;
    return -1;
  }
  if (number == SYS_openat2 && Fails(kOpenat2)) return -1;
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

void* mmap64(void* at, size_t size, int protection, int flags, int fd, off64_t offset) {
  static void* (*real)(void*, size_t, int, int, int, off64_t);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "mmap64");
  void* mapped = real(at, size, protection, flags, fd, offset);
  if (is_worker && fd >= 0 && (flags & MAP_SHARED) != 0 && (protection & PROT_WRITE) != 0) {
    // The session, then the slots; what follows is none of the supervisor's business.
    const int i = shared[0].size == 0 ? 0 : 1;
    if (shared[i].size > 0) return mapped;
    shared[i].bytes = mapped;
    shared[i].size = size;
  }
  return mapped;
}

ssize_t read(int fd, void* bytes, size_t size) {
  static ssize_t (*real)(int, void*, size_t);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "read");
  if (is_worker && size > 1 << 20) answers_requests = 1;  // kRequestSize of src/worker/session.cc
  const ssize_t got = real(fd, bytes, size);
  const struct fuse_in_header* header = bytes;
  const size_t whole = sizeof(*header) + sizeof(struct fuse_init_in);
  if ((control->old_kernel || control->no_prune) && got >= (ssize_t)whole &&
      header->opcode == FUSE_INIT && header->len == (uint32_t)got) {
    struct fuse_init_in* const init = (struct fuse_init_in*)(header + 1);
    if (control->old_kernel) init->flags2 = 0;
    if (control->no_prune) init->minor = 44;
  }
  return got;
}

int execveat(int folder, const char* path, char* const arguments[], char* const environment[],
             int flags) {
  static int (*real)(int, const char*, char* const[], char* const[], int);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "execveat");
  if (control->no_exec) {
    errno = ENOENT;
    return -1;
  }
  return real(folder, path, arguments, environment, flags);
}
