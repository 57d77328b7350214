#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "supervisor/mountpoint.h"
#include "util/unique_fd.h"

struct fuse_session;  // libfuse's

namespace skopsfs::supervisor {

std::string LibraryVersion();  // of libfuse

struct MountOptions {
  std::string mountpoint;            // canonical
  std::string source;                // what mount and df show
  std::vector<std::string> options;  // further -o options for the kernel and libfuse
  // The descriptor of a mount that somebody else has made. Then the options are theirs to give.
  std::optional<int> passed = std::nullopt;
  std::optional<unsigned> read_ahead = std::nullopt;  // KiB, see SetReadAhead()
  bool has_links = true;                              // symbolic ones, which are to be followed
};

// The number in "/dev/fd/N", which stands for a mountpoint when somebody else has mounted; nothing
// for a path elsewhere. Throws util::Error when it is no number.
std::optional<int> PassedDescriptor(const std::string& mountpoint);

// A mount, for as long as the object lives; who serves it gets the descriptor. A passed one is
// taken over, and is never unmounted here. Use from one thread.
class Mount {
 public:
  // Throws util::Error with libfuse's reason when it cannot be mounted, or with what is wrong with
  // the passed descriptor.
  explicit Mount(const MountOptions& options);
  // Goes on with one that was handed over: its descriptor, and what the other one had `found`.
  // Throws util::Error when that is no descriptor of /dev/fuse.
  Mount(const MountOptions& options, util::UniqueFd fuse, std::optional<FoundMount> found);
  ~Mount();
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  int descriptor() const;  // of /dev/fuse
  bool is_passed() const { return is_passed_; }
  const std::optional<FoundMount>& found() const { return found_; }

  // Of the files in it; 0 when it is not known, as of a passed one on older kernels.
  dev_t device() const;

  // Whether it is still at its mountpoint. Never for a passed one, whose place is not known.
  bool IsThere() const;

  // Whether the kernel still asks whoever has the descriptor.
  bool IsConnected() const;

  // Whether requests wait there for somebody to take them.
  bool HasRequests() const;

  // Has the kernel ask no more, and fail what waits for an answer, as far as that is allowed.
  void Abort() const;

  // To be called once it is served. `source` is the disk that the archives lie on.
  void SetReadAhead(std::optional<dev_t> source) const;

  // Detaches it lazily when it is in use. Does nothing to a passed one.
  void Unmount();

  // Whether it is to be unmounted or aborted from here, rather than by another supervisor.
  void BelongsToThisProcess(bool does) { mounted_ = does && !is_passed_; }

 private:
  const std::string mountpoint_;
  const std::optional<unsigned> read_ahead_;
  const bool is_passed_;
  util::UniqueFd fuse_;                // none where there is a session
  ::fuse_session* session_ = nullptr;  // never serves; of a mount that was made here
  bool mounted_ = false;
  std::optional<FoundMount> found_;  // ours, as the kernel lists it
};

}  // namespace skopsfs::supervisor
