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

// Thrown instead of making an effort that the calling thread is not to make. It is no util::Error,
// since nothing has failed: whoever runs the request has another thread begin it anew.
struct TooMuchEffort {
  Effort effort;
  uint64_t of;  // requests of this effort with an equal number would only wait for each other
};

// The numbers of huge efforts. Of each of these two kinds, one is made at a time.
inline constexpr uint64_t kHugeIndexes = UINT64_MAX;
inline constexpr uint64_t kHugeSchemas = UINT64_MAX - 1;

// For as long as it lives, the calling thread makes no more than the effort `most`. A thread
// without a limit may make all. For the thread that made it.
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

// Throws TooMuchEffort when the effort is above the thread's limit. To be called before the effort
// is made, and before waiting for others who make it.
void CheckEffort(Effort effort, uint64_t of);

}  // namespace skopsfs::util
