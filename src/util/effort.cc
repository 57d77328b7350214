#include "util/effort.h"

namespace skopsfs::util {
namespace {

thread_local Effort limit = Effort::kHuge;

}  // namespace

EffortLimit::EffortLimit(Effort most) : before_(limit) { limit = most; }

EffortLimit::~EffortLimit() { limit = before_; }

bool IsWithinLimit(Effort effort) { return effort <= limit; }

void CheckEffort(Effort effort, uint64_t of) {
  if (!IsWithinLimit(effort)) throw TooMuchEffort{effort, of};
}

}  // namespace skopsfs::util
