#pragma once

#include <atomic>

#include "fs/file_system.h"
#include "util/libfuse.h"
#include "worker/read_buffers.h"
#include "worker/slow_lane.h"

namespace skopsfs::worker {

// Half of the fewest threads that a session has. The others are left for what is quick.
inline constexpr size_t kSlowThreads = 10;
// Of these, so that archives can be opened while members are decoded, and the other way round.
inline constexpr size_t kMostOfAKind = 8;

// In bytes. There are no writes, but the kernel wants room for the largest with each request.
inline constexpr unsigned kMostWrite = ReadBuffers::kMost;

// What the callbacks work on. libfuse hands it to each of them. Thread-safe.
struct CallbackContext {
  fs::FileSystem& file_system;
  bool checks_permissions = false;           // has the kernel do so on a mount that was not made to
  bool is_asked_of_each_open = false;        // so that who opens is seen
  std::atomic<bool> is_initialized = false;  // libfuse has said hello to the kernel
  SlowLane slow_lane{kSlowThreads, kMostOfAKind};
  ReadBuffers read_buffers{};
};

// The table of callbacks for libfuse, whose user data is a CallbackContext.
fuse_lowlevel_ops Callbacks();

// Has libfuse hand a request of the kernel to its callback. If libfuse has no memory for that, it
// answers so by itself. FORGET has no answer, and the kernel sends it once. So it is not left to
// libfuse, but done here, whatever memory there is.
void Dispatch(CallbackContext& context, fuse_session* session, const fuse_buf& request) noexcept;

}  // namespace skopsfs::worker
