#include "handover/counters.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "util/error.h"
#include "util/shared_memory.h"

namespace skopsfs::handover {

using util::ErrnoError;
using util::Error;

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
    throw ErrnoError("writing to the memory for metrics");
  }
  return memory;
}

SharedCounters::SharedCounters(const util::UniqueFd& memory, Access access) {
  constexpr auto kOther = "the memory for metrics is of another version of skopsfs";
  struct stat st {};
  if (fstat(memory.get(), &st) != 0) throw ErrnoError("the memory for metrics");
  if (st.st_size != kMemorySize) throw Error(EPROTO, kOther);
  const int protection = access == Access::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
  void* mapping = mmap(nullptr, kMemorySize, protection, MAP_SHARED, memory.get(), 0);
  if (mapping == MAP_FAILED) throw ErrnoError("mapping the memory for metrics");
  counters_ = static_cast<Counters*>(mapping);
  if (counters_->magic == Counters::kMagic) return;
  munmap(mapping, kMemorySize);
  throw Error(EPROTO, kOther);
}

SharedCounters::~SharedCounters() { munmap(counters_, kMemorySize); }

}  // namespace skopsfs::handover
