#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

struct fuse_session;  // libfuse's

namespace skopsfs::fuse {

std::string LibraryVersion();  // of libfuse

struct MountOptions {
  std::string mountpoint;            // canonical
  std::string source;                // what mount and df show
  std::vector<std::string> options;  // further -o options for the kernel and libfuse
};

// A mount, for as long as the object lives; who serves it gets the descriptor. Use from one thread.
class Mount {
 public:
  // Throws util::Error with libfuse's reason when it cannot be mounted.
  explicit Mount(const MountOptions& options);
  ~Mount();
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  int descriptor() const;  // of /dev/fuse

  // Detaches it lazily when it is in use, and closes the descriptor.
  void Unmount();

 private:
  const std::string mountpoint_;
  ::fuse_session* session_ = nullptr;  // never serves
  bool mounted_ = false;
  std::optional<uint64_t> mount_id_;  // the kernel's number for our mount
};

}  // namespace skopsfs::fuse
