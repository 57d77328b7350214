#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "fs/file_system.h"
#include "handover/channel.h"
#include "handover/session_state.h"
struct fuse_buf;      // libfuse's
struct fuse_session;  // likewise

namespace skopsfs::worker {

struct CallbackContext;

// Serves one mount for a worker. Takes it over from the predecessor, if there was one. Owns the
// threads that answer requests. Use from one thread.
class Session {
 public:
  struct Options {
    int mount = -1;                                // descriptor of /dev/fuse; stays the caller's
    int notifier = -1;                             // of NotifierProcess; likewise
    bool mount_is_passed = false;                  // somebody else has mounted
    bool mount_is_read_only = true;                // for sure, so that nobody opens for writing
    uint32_t generation = 0;                       // of the worker
    bool debug = false;                            // libfuse prints every request
    std::optional<uid_t> only_for = std::nullopt;  // and root: the user who alone may use the mount
  };

  Session(fs::FileSystem& file_system, handover::SessionState& state, handover::Channel& supervisor,
          const Options& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Tells the supervisor when it serves. Returns when the filesystem is unmounted (true), or when
  // the supervisor says to end. Throws util::Error when it cannot go on.
  bool Run();

 private:
  void TakeOver();
  void ReplayInit();
  void Process(::fuse_buf& buffer);
  void Refuse(uint64_t unique) const;
  void Serve(handover::RequestRecord& record, std::byte* memory);
  void StartWorkers(int ended);
  bool WaitForEnd(int worker_ended);
  void Finish();

  fs::FileSystem& file_system_;
  handover::SessionState& state_;
  handover::Channel& supervisor_;
  const Options options_;
  const std::unique_ptr<CallbackContext> context_;
  ::fuse_session* session_ = nullptr;
  std::vector<std::thread> workers_;
  std::atomic<size_t> running_ = 0;
  std::atomic<int> error_ = 0;  // errno of a worker that could not go on
};

}  // namespace skopsfs::worker
