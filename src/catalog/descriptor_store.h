#pragma once

#include <cstdint>

#include "util/unique_fd.h"

namespace skopsfs::catalog {

// Keeps descriptors of open versions beyond the end of this process, so that a successor can go on
// reading what has no name any more. Its calls do not block. Thread-safe.
class DescriptorStore {
 public:
  virtual ~DescriptorStore() = default;

  // Keeps a duplicate of `fd`, which is open on the version of that slot. Returns a number for
  // Drop(), never the same twice; 0 when it cannot.
  virtual uint64_t Keep(uint64_t slot_id, int fd) noexcept = 0;
  virtual void Drop(uint64_t number) noexcept = 0;

  // Goes on with what could not be done at once. To be called about once a second.
  virtual void TryAgain() noexcept {}
};

// A descriptor that is in the store for as long as this lives, if the store could keep it. The
// store must outlive this. Immutable.
class StoredDescriptor {
 public:
  // Puts it in only when there is this object, which will have it dropped.
  StoredDescriptor(DescriptorStore& store, uint64_t slot_id, int fd)
      : StoredDescriptor(store, store.Keep(slot_id, fd)) {}
  StoredDescriptor(DescriptorStore& store, uint64_t number) : store_(store), number_(number) {}
  ~StoredDescriptor() {
    if (is_kept()) store_.Drop(number_);
  }
  StoredDescriptor(const StoredDescriptor&) = delete;
  StoredDescriptor& operator=(const StoredDescriptor&) = delete;

  bool is_kept() const { return number_ != 0; }

 private:
  DescriptorStore& store_;
  const uint64_t number_;
};

// A descriptor that a predecessor put into the store. Owns it.
struct InheritedDescriptor {
  uint64_t number = 0;
  uint64_t slot_id = 0;
  util::UniqueFd fd;
};

}  // namespace skopsfs::catalog
