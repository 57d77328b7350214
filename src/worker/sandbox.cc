#include "worker/sandbox.h"

#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "util/error.h"
#include "util/log.h"
#include "util/unique_fd.h"

namespace skopsfs::worker {
namespace {

using util::ErrnoError;
using util::UniqueFd;

constexpr rlim_t kMostMemory = rlim_t{4} << 30;  // bytes that are the process's own
// All of it, with what the first does not count: code, what is shared with the supervisor, stacks.
constexpr rlim_t kMostAddresses = rlim_t{8} << 30;

// Rights that later kernels know, by their version of Landlock; not in the headers of Debian 12.
constexpr uint64_t kTruncate = uint64_t{1} << 14;       // 3
constexpr uint64_t kDeviceControl = uint64_t{1} << 15;  // 5

struct LandlockRules {  // as the kernel has it since version 6; earlier ones take the front
  uint64_t files = 0;
  uint64_t network = 0;
  uint64_t scoped = 0;
};

LandlockRules AllOf(long version) {
  LandlockRules all;
  all.files = (uint64_t{1} << 13) - 1;
  if (version >= 2) all.files |= LANDLOCK_ACCESS_FS_REFER;
  if (version >= 3) all.files |= kTruncate;
  if (version >= 5) all.files |= kDeviceControl;
  if (version >= 4) all.network = 3;  // to bind and connect TCP
  if (version >= 6) all.scoped = 3;   // abstract sockets and signals outside
  return all;
}

size_t SizeFor(long version) {
  return version >= 6   ? sizeof(LandlockRules)
         : version >= 4 ? offsetof(LandlockRules, scoped)
                        : offsetof(LandlockRules, network);
}

// Files below `folders`, to be read.
void AllowOnly(const std::vector<int>& folders, long version) {
  const auto all = AllOf(version);
  const UniqueFd rules(
      static_cast<int>(syscall(SYS_landlock_create_ruleset, &all, SizeFor(version), 0)));
  if (!rules) throw ErrnoError("Landlock");
  landlock_path_beneath_attr allowed{};
  allowed.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  for (const int folder : folders) {
    allowed.parent_fd = folder;
    if (syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &allowed, 0) != 0) {
      throw ErrnoError("Landlock");
    }
  }
  if (syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0) throw ErrnoError("Landlock");
}

// Whether files are out of reach for everything but reading: false when the kernel cannot, or
// cannot keep from truncating them.
bool RestrictFiles(const source::Source::Parts& source) {
  const long version = LandlockVersion();
  if (version == 0) {
    util::LogWarning("this kernel has no Landlock: the worker may open what its user may read");
  } else if (version < 0) {
    util::LogWarning("Landlock: {}: the worker may open what its user may read",
                     std::generic_category().message(static_cast<int>(-version)));
  }
  if (version < 1) return false;
  std::vector<int> folders = {source.folder.get()};
  // Its name may be a link to a file elsewhere, whose folder counts as the source too.
  if (source.is_single_archive) folders.push_back(source.canonical_folder.get());
  AllowOnly(folders, version);
  return version >= 3;
}

void BoundMemory() {
  if (kSanitized) return;  // it takes terabytes of address space
  for (const auto& [resource, most] :
       {std::pair(RLIMIT_DATA, kMostMemory), std::pair(RLIMIT_AS, kMostAddresses)}) {
    rlimit limit{};
    if (getrlimit(resource, &limit) != 0) throw ErrnoError("getrlimit");
    limit.rlim_cur = limit.rlim_max = std::min(limit.rlim_max, most);
    if (setrlimit(resource, &limit) != 0) throw ErrnoError("bounding the memory");
  }
}

void RestrictItself() {
  if (prctl(PR_SET_DUMPABLE, 0) != 0) throw ErrnoError("PR_SET_DUMPABLE");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) throw ErrnoError("PR_SET_NO_NEW_PRIVS");
  BoundMemory();
}

}  // namespace

long LandlockVersion() {
  const long version =
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version >= 0) return version;
  return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
}

void EnterSandbox(const source::Source::Parts& source) {
  RestrictItself();
  RestrictSystemCalls(RestrictFiles(source));
}

void EnterMetricsSandbox() {
  RestrictItself();
  const long version = LandlockVersion();
  if (version > 0) AllowOnly({}, version);
  RestrictSystemCallsToMetrics();
}

}  // namespace skopsfs::worker
