#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "util/shared_memory.h"
#include "util/unique_fd.h"

namespace skopsfs::handover {

// What a request asks, as the log and the metrics call it.
enum class Operation : uint8_t {
  kLookup,
  kGetattr,
  kReadlink,
  kOpen,
  kRead,
  kRelease,
  kOpendir,
  kReaddir,
  kReleasedir,
  kStatfs,
  kGetxattr,
  kListxattr,
  kForget,
  kOther,
};
inline constexpr size_t kOperations = static_cast<size_t>(Operation::kOther) + 1;

const char* NameOf(Operation operation);

// How the bytes of a member came to be: read as they lie in the archive, or decoded.
enum class Kind : uint8_t { kStored, kDecoded };

// What requests of one operation took, and how they failed.
struct RequestCounters {
  // Upper bounds in nanoseconds; what takes longer than the last counts beyond all.
  static constexpr std::array<int64_t, 12> kBounds = {
      10'000,     25'000,     100'000,     250'000,       1'000'000,     2'500'000,
      10'000'000, 25'000'000, 100'000'000, 1'000'000'000, 5'000'000'000, 30'000'000'000};
  // The errors that are counted each by itself; all others are one.
  static const std::array<int, 15> kErrors;

  std::array<std::atomic<uint64_t>, kBounds.size() + 1> durations;  // requests, by bound
  std::atomic<uint64_t> nanoseconds;                                // of all requests
  std::array<std::atomic<uint64_t>, 16> errors;
};

// What is counted about a mount. It lies in memory that the workers share one after the other, so
// nothing is lost with one that dies. New memory is all zeros and has room for more counters at the
// end, so that of an older program will do for a newer one. Thread-safe: each number is by itself.
struct Counters {
  static constexpr uint64_t kMagic = 0x326d657473706b73;  // "skpstem2": it is such memory

  std::atomic<uint64_t> magic;
  std::array<RequestCounters, kOperations> requests;
  std::array<std::atomic<uint64_t>, 2> served_bytes;  // by Kind
  std::atomic<uint64_t> source_bytes;                 // asked of the source
  std::atomic<uint64_t> restarts;                     // workers after the first one
  std::atomic<uint64_t> status_texts;                 // that files of .skopsfs said

  // As of `updated`; times are nanoseconds, of CLOCK_REALTIME but for `oldest_request`.
  std::atomic<int64_t> started;
  std::atomic<int64_t> worker_started;
  std::atomic<int64_t> updated;
  std::atomic<int64_t> oldest_request;  // CLOCK_MONOTONIC, when it came; 0: there is none
  std::atomic<uint64_t> archives_open;
  std::atomic<uint64_t> archives_idle;
  std::atomic<uint64_t> archives_failed;
  std::atomic<uint64_t> versions_superseded;
  std::atomic<uint64_t> descriptors;
  std::atomic<uint64_t> descriptors_limit;
  std::atomic<uint64_t> index_bytes;
  std::atomic<uint64_t> decoder_bytes;
  std::atomic<uint64_t> decoder_bytes_limit;

  void Finished(Operation operation, int64_t nanoseconds);
  void Failed(Operation operation, int error);
  void Served(Kind kind, uint64_t bytes) {
    served_bytes[static_cast<size_t>(kind)].fetch_add(bytes, std::memory_order_relaxed);
  }
  void ReadFromSource(uint64_t bytes) { source_bytes.fetch_add(bytes, std::memory_order_relaxed); }
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// Maps the counters in the memory of a descriptor. Owns the mapping. Thread-safe.
class SharedCounters {
 public:
  static constexpr size_t kMemorySize = size_t{64} << 10;
  static_assert(sizeof(Counters) <= kMemorySize);

  // New memory for counters, to be made by the supervisor. Workers cannot shrink it.
  static util::UniqueFd MakeMemory();

  using Access = util::SharedMapping::Access;

  // Throws util::Error when the memory holds something else.
  SharedCounters(const util::UniqueFd& memory, Access access);

  Counters& operator*() const { return *static_cast<Counters*>(mapping_.get()); }
  Counters* operator->() const { return &**this; }

 private:
  const util::SharedMapping mapping_;
};

}  // namespace skopsfs::handover
