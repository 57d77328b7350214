#pragma once

#include <cstdint>

#include "util/unique_fd.h"

namespace skopsfs::catalog {

// Whoever keeps descriptors of archive versions beyond the end of this process, so that a successor
// can go on reading what has no name any more. Nobody waits for it. Thread-safe.
class DescriptorKeeper {
 public:
  virtual ~DescriptorKeeper() = default;

  // Keeps a duplicate of `fd`, which is open on the version of that slot. Returns a number for
  // Drop(), never the same twice; 0 when it cannot.
  virtual uint64_t Keep(uint64_t slot_id, int fd) noexcept = 0;
  virtual void Drop(uint64_t number) noexcept = 0;

  // Goes on with what could not be done at once. To be called about once a second.
  virtual void TryAgain() noexcept {}
};

// A descriptor that is kept for as long as this lives; it may be that it cannot be.
class KeptDescriptor {
 public:
  // Has it kept: only when there is this, which will have it dropped.
  KeptDescriptor(DescriptorKeeper& keeper, uint64_t slot_id, int fd)
      : KeptDescriptor(keeper, keeper.Keep(slot_id, fd)) {}
  KeptDescriptor(DescriptorKeeper& keeper, uint64_t number) : keeper_(keeper), number_(number) {}
  ~KeptDescriptor() {
    if (is_kept()) keeper_.Drop(number_);
  }
  KeptDescriptor(const KeptDescriptor&) = delete;
  KeptDescriptor& operator=(const KeptDescriptor&) = delete;

  bool is_kept() const { return number_ != 0; }

 private:
  DescriptorKeeper& keeper_;
  const uint64_t number_;
};

// What a predecessor had kept.
struct InheritedDescriptor {
  uint64_t number = 0;
  uint64_t slot_id = 0;
  util::UniqueFd fd;
};

}  // namespace skopsfs::catalog
