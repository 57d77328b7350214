#include "util/progress.h"

#include <utility>

#include "util/clock.h"

namespace skopsfs::util {
namespace {

thread_local Progress* kept = nullptr;
thread_local WaitsFor waits_for = WaitsFor::kNothing;

void Say() {
  if (kept == nullptr) return;
  kept->got_on.store(MonotonicNow(), std::memory_order_relaxed);
  kept->waits_for.store(static_cast<uint32_t>(waits_for), std::memory_order_relaxed);
}

}  // namespace

void KeepProgress(Progress* progress) { kept = progress; }

void GetOn() { Say(); }

Waiting::Waiting(WaitsFor what) : before_(std::exchange(waits_for, what)) { Say(); }

Waiting::~Waiting() {
  waits_for = before_;
  Say();
}

}  // namespace skopsfs::util
