#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <utility>
#include <vector>

#include "fs/file_system.h"
#include "fuse/libfuse.h"

namespace skopsfs::fuse {

// The release of a member of an old version: its name is to be dropped before it is answered, so
// that a successor is asked again when this process dies in between; but not from inside a request.
struct LateRelease {
  fuse_req_t request;
  std::unique_ptr<fs::FileHandle> handle;
  fs::StaleName stale;
};

// Those that wait for the housekeeper. Thread-safe.
class LateReleases {
 public:
  void Add(LateRelease release) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(release));
    wake_.notify_one();
  }

  // All of them, as soon as there are any; none after `patience`, or when told to stop.
  std::vector<LateRelease> Wait(const std::stop_token& stop, std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, patience, [&] { return !waiting_.empty(); });
    return std::exchange(waiting_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::vector<LateRelease> waiting_;
};

}  // namespace skopsfs::fuse
