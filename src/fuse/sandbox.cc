#include "fuse/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>

#include "fuse/system_calls.h"
#include "util/error.h"
#include "util/log.h"
#include "util/unique_fd.h"

namespace skopsfs::fuse {
namespace {

using util::ErrnoError;
using util::Error;
using util::UniqueFd;

constexpr rlim_t kMostMemory = rlim_t{4} << 30;  // bytes that are the process's own

bool CanRead(const catalog::Source::Parts& parts) {
  const std::string name = parts.is_single_archive
                               ? std::filesystem::path(parts.path).filename().string()
                               : std::string(".");
  return UniqueFd(openat(parts.folder.get(), name.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC))
             .get() >= 0;
}

// The effective ones alone, so that there is a way back.
bool BecomeForNow(const UserIds& user) { return setegid(user.gid) == 0 && seteuid(user.uid) == 0; }

void BecomeRootAgain() {
  if (seteuid(0) != 0 || setegid(0) != 0 || setgroups(0, nullptr) != 0) {
    throw ErrnoError("becoming root again");
  }
}

void BecomeForGood(const UserIds& user) {
  if (setresgid(user.gid, user.gid, user.gid) != 0 ||
      setresuid(user.uid, user.uid, user.uid) != 0) {
    throw ErrnoError("becoming another user");
  }
}

void Become(const catalog::Source::Parts& source, const UserIds& user, bool required) {
  // A root that was given no capabilities, as in a container, may not.
  const bool may = setgroups(1, &user.gid) == 0;
  const bool can_read = may && BecomeForNow(user) && CanRead(source);
  if (may) BecomeRootAgain();
  if (can_read) {
    if (setgroups(1, &user.gid) != 0) throw ErrnoError("setgroups");
    return BecomeForGood(user);
  }
  if (required) {
    throw Error(EACCES, may ? "the user of --user cannot read the source " +
                                  util::Quoted(source.path) + ": give it access, or name another"
                            : "this root may not become another user: --user takes CAP_SETUID "
                              "and CAP_SETGID");
  }
  util::LogWarning(
      "source {}: {}; the worker stays root, without capabilities", util::Quoted(source.path),
      may ? "the source's owner cannot read it" : "this root may not become the source's owner");
}

// While it is still allowed to, so before becoming another user.
void DropCapabilitiesOfPrograms() {
  for (unsigned long capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);  // only who has CAP_SETPCAP can, and need
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

}  // namespace

void DropCapabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> none{};
  if (syscall(SYS_capset, &header, none.data()) != 0) throw ErrnoError("dropping capabilities");
}

namespace {

// --- Landlock: which files can be reached
// -----------------------------------------------------------

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

void AllowReading(int rules, int folder) {
  landlock_path_beneath_attr allowed{};
  allowed.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  allowed.parent_fd = folder;
  if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &allowed, 0) != 0) {
    throw ErrnoError("Landlock");
  }
}

// Whether files are out of reach for everything but reading: false when the kernel cannot, or
// cannot keep from truncating them.
bool RestrictFiles(const catalog::Source::Parts& source) {
  const long version = LandlockVersion();
  if (version < 1) {
    util::LogWarning("this kernel has no Landlock: the worker may open what its user may read");
    return false;
  }
  const auto all = AllOf(version);
  const UniqueFd rules(
      static_cast<int>(syscall(SYS_landlock_create_ruleset, &all, SizeFor(version), 0)));
  if (!rules) throw ErrnoError("Landlock");
  AllowReading(rules.get(), source.folder.get());
  if (source.is_single_archive) {
    // Its name may be a link to a file elsewhere, whose folder counts as the source too.
    AllowReading(rules.get(), source.canonical_folder.get());
  }
  if (syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0) throw ErrnoError("Landlock");
  return version >= 3;
}

void BoundMemory() {
  if (kSanitized) return;  // it takes terabytes of address space
  rlimit limit{};
  if (getrlimit(RLIMIT_DATA, &limit) != 0) throw ErrnoError("getrlimit");
  limit.rlim_cur = limit.rlim_max = std::min(limit.rlim_max, kMostMemory);
  if (setrlimit(RLIMIT_DATA, &limit) != 0) throw ErrnoError("bounding the memory");
}

}  // namespace

long LandlockVersion() {
  const long version =
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return version < 0 ? 0 : version;
}

void EnterSandbox(const catalog::Source::Parts& source, const UserIds& user, bool required) {
  DropCapabilitiesOfPrograms();
  if (geteuid() == 0) Become(source, user, required);
  DropCapabilities();
  // Becoming another user has taken it away.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (prctl(PR_SET_DUMPABLE, 0) != 0) throw ErrnoError("PR_SET_DUMPABLE");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) throw ErrnoError("PR_SET_NO_NEW_PRIVS");
  BoundMemory();
  RestrictSystemCalls(RestrictFiles(source));
}

}  // namespace skopsfs::fuse
