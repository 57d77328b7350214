// Preloaded into skopsfs by tests: makes it fail at a moment of their choosing. What it is to do
// stands in a file that it maps before the worker shuts itself in ($SKOPSFS_SHIM; shim.py writes it).

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { kAttempts = 16 };

// As in shim.py.
struct Control {
  _Atomic uint64_t crash_at;   // inode of a file: who reads it dies of a bad address
  _Atomic uint64_t hang_at;    // likewise, waits until this is 0 again
  _Atomic uint64_t attack_at;  // likewise, tries what it must not, once
  _Atomic uint64_t no_exec;    // no worker can be started
  _Atomic uint64_t old_kernel; // the kernel looks like one that asks nothing again
  _Atomic uint64_t die_at_start;  // a worker kills itself before it does anything
  _Atomic uint64_t hanging;    // how often somebody has begun to wait
  _Atomic uint64_t attempts;   // how many of these are written
  _Atomic uint64_t result[kAttempts];  // errno of each; 0: it worked
};

static struct Control* control;
static struct Control nothing;

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
  if (control->die_at_start && got > 0 && strncmp(first, "--worker=", 9) == 0) raise(SIGKILL);
}

static void Note(int result) {
  const uint64_t number = atomic_fetch_add(&control->attempts, 1);
  if (number < kAttempts) control->result[number] = result == -1 ? (uint64_t)errno : 0;
}

// In the order of ATTEMPTS in test_sandbox.py.
static void Attack(void) {
  Note(open("/etc/passwd", O_RDONLY));
  Note(open("/tmp/skopsfs-was-here", O_RDWR | O_CREAT, 0600));
  Note(open("/tmp", O_RDWR | O_TMPFILE, 0600));
  Note(open("/proc/self/mem", O_RDWR));
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
  void* code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                    -1, 0);
  Note(code == MAP_FAILED ? -1 : 0);
}

static int Is(int fd, uint64_t inode) {
  struct stat st;
  return inode != 0 && fstat(fd, &st) == 0 && st.st_ino == inode;
}

ssize_t pread64(int fd, void* bytes, size_t size, off64_t offset) {
  static ssize_t (*real)(int, void*, size_t, off64_t);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "pread64");
  if (Is(fd, control->crash_at)) *(volatile int*)8 = 1;
  if (Is(fd, control->attack_at)) {
    control->attack_at = 0;
    Attack();
  }
  if (Is(fd, control->hang_at)) ++control->hanging;
  while (Is(fd, control->hang_at)) usleep(1000);
  return real(fd, bytes, size, offset);
}

ssize_t read(int fd, void* bytes, size_t size) {
  static ssize_t (*real)(int, void*, size_t);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "read");
  const ssize_t got = real(fd, bytes, size);
  const struct fuse_in_header* header = bytes;
  const size_t whole = sizeof(*header) + sizeof(struct fuse_init_in);
  if (control->old_kernel && got >= (ssize_t)whole && header->opcode == FUSE_INIT &&
      header->len == (uint32_t)got) {
    ((struct fuse_init_in*)(header + 1))->flags2 = 0;
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
