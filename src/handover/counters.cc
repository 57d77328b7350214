#include "handover/counters.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "util/error.h"

namespace skopsfs::handover {

const std::array<int, 15> RequestCounters::kErrors = {
    EIO,    ESTALE, EACCES, EPERM, ENOENT,     ENOTDIR, EISDIR,  EROFS,
    ENFILE, EMFILE, ENOMEM, EFBIG, EOPNOTSUPP, ENODATA, ENOTCONN};

const char* NameOf(Operation operation) {
  constexpr std::array<const char*, kOperations> kNames = {
      "lookup",  "getattr",    "readlink", "open",     "read",      "release", "opendir",
      "readdir", "releasedir", "statfs",   "getxattr", "listxattr", "forget",  "other"};
  return kNames[static_cast<size_t>(operation)];
}

void Counters::Finished(Operation operation, int64_t nanoseconds) {
  constexpr auto& kBounds = RequestCounters::kBounds;
  auto& counters = requests[static_cast<size_t>(operation)];
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), nanoseconds);
  counters.durations[static_cast<size_t>(bound - kBounds.begin())].fetch_add(
      1, std::memory_order_relaxed);
  counters.nanoseconds.fetch_add(static_cast<uint64_t>(std::max<int64_t>(nanoseconds, 0)),
                                 std::memory_order_relaxed);
}

void Counters::Failed(Operation operation, int error) {
  const auto& errors = RequestCounters::kErrors;
  const auto known = std::find(errors.begin(), errors.end(), error);
  requests[static_cast<size_t>(operation)]
      .errors[static_cast<size_t>(known - errors.begin())]
      .fetch_add(1, std::memory_order_relaxed);
}

util::UniqueFd SharedCounters::MakeMemory() {
  auto memory = util::MakeSharedMemory("skopsfs-metrics", kMemorySize);
  const uint64_t magic = Counters::kMagic;
  if (pwrite(memory.get(), &magic, sizeof(magic), offsetof(Counters, magic)) != sizeof(magic)) {
    throw util::ErrnoError("writing to the memory for metrics");
  }
  return memory;
}

SharedCounters::SharedCounters(const util::UniqueFd& memory, Access access)
    : mapping_(memory, kMemorySize, "metrics", access) {
  mapping_.Check((*this)->magic == Counters::kMagic);
}

}  // namespace skopsfs::handover
