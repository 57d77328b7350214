#include "archive/sequential_read_detector.h"

#include <algorithm>

namespace skopsfs::archive {
namespace {

// In requests, the largest of a run. What the kernel asks for at once is not further apart than
// kNear, and a few such windows may lie side by side by chance.
constexpr uint64_t kNear = 8;
constexpr uint64_t kLong = 32;

}  // namespace

SequentialReadDetector::Pattern SequentialReadDetector::Note(uint64_t offset, uint64_t size) {
  const util::MutexLock lock(mutex_);
  auto run = std::find_if(runs_.begin(), runs_.end(), [&](const Run& known) {
    const uint64_t near = kNear * std::max(size, known.request);
    return known.length > 0 && offset + near >= known.end && offset <= known.end + near;
  });
  const bool is_new = run == runs_.end();
  if (is_new) {
    run = std::min_element(runs_.begin(), runs_.end(),
                           [](const Run& a, const Run& b) { return a.used < b.used; });
    *run = {};
  }
  const uint64_t end = std::max(run->end, offset + size);
  run->length += run->length == 0 ? size : end - run->end;  // what is read again is no progress
  run->end = end;
  run->request = std::max(run->request, size);
  run->used = ++reads_;
  if (is_new) return Pattern::kRandom;
  return run->length > kLong * run->request ? Pattern::kLongRun : Pattern::kShortRun;
}

}  // namespace skopsfs::archive
