#pragma once

#include <cstdint>

namespace skopsfs::util {

// What a request asks of the thread that answers it.
enum class Effort {
  kLittle,  // what it needs is in memory, or one read of the source away
  kOpen,    // an archive has to be opened and its index to be read
  kDecode,  // a member has to be decoded, or read through
  kHuge,    // either of these with very much data
};

// Thrown instead of an effort that the calling thread is not to make. Nothing has failed, so it is
// no util::Error: whoever runs the request lets another thread begin it anew.
struct TooMuchEffort {
  Effort effort;
  uint64_t of;  // requests of this effort with an equal number would only wait for each other
};

// The numbers of those that are huge: of each of these two, one is made at a time.
inline constexpr uint64_t kHugeIndexes = UINT64_MAX;
inline constexpr uint64_t kHugeSchemas = UINT64_MAX - 1;

// For as long as it lives, the calling thread makes no more than `most` of an effort. Without any,
// a thread may make all.
class EffortLimit {
 public:
  explicit EffortLimit(Effort most);
  ~EffortLimit();
  EffortLimit(const EffortLimit&) = delete;
  EffortLimit& operator=(const EffortLimit&) = delete;

 private:
  const Effort before_;
};

bool IsWithinLimit(Effort effort);

// To be called before the effort is made, and before waiting for others who make it.
void CheckEffort(Effort effort, uint64_t of);

}  // namespace skopsfs::util
