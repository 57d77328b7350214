#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fs/file_system.h"
struct fuse_session;  // libfuse's

namespace skopsfs::fuse {

struct CallbackContext;

std::string LibraryVersion();  // of libfuse

struct MountOptions {
  std::string mountpoint;            // canonical
  std::string source;                // what mount and df show
  std::vector<std::string> options;  // further -o options for the kernel and libfuse
  bool debug = false;                // libfuse prints every request
};

// One mount: made by Mount(), served by Run(), gone when the object goes. Use from one thread.
class Session {
 public:
  // `on_ready` is called once, by any thread, when the mount can be used.
  Session(fs::FileSystem& file_system, MountOptions options, std::function<void()> on_ready);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Throws util::Error with libfuse's reason when it cannot be mounted.
  void Mount();

  // Serves requests until the filesystem is unmounted or SIGTERM, SIGINT or SIGHUP comes; then the
  // mount is gone (detached lazily when files are still open). Ends the process when requests then
  // do not end.
  void Run();

 private:
  class Housekeeper;

  void Serve();
  void StartWorkers(std::vector<std::thread>& workers, std::atomic<size_t>& running, int ended);
  void WaitForEnd(int signals, int worker_ended);
  [[noreturn]] void Abandon();
  void Unmount();

  fs::FileSystem& file_system_;
  const MountOptions options_;
  const std::unique_ptr<CallbackContext> context_;
  ::fuse_session* session_ = nullptr;
  bool mounted_ = false;
  std::optional<uint64_t> mount_id_;  // the kernel's number for our mount
};

}  // namespace skopsfs::fuse
