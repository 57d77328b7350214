#pragma once

#include <cstddef>
#include <string>

#include "util/unique_fd.h"

namespace skopsfs::util {

// Memory for processes that are given the descriptor, all zeros, of a size that none of them can
// change. It takes as much as is written to. `name` is what /proc shows. Throws util::Error when
// there is none.
UniqueFd MakeSharedMemory(const std::string& name, size_t size);

// Owns a mapping of such memory, which needs its descriptor no more. Thread-safe: it never changes.
// What is in the memory is the business of who maps it.
class SharedMapping {
 public:
  enum class Access { kRead, kWrite };

  // `what` names it in errors. Throws util::Error: EPROTO when the memory is of another size.
  SharedMapping(const UniqueFd& memory, size_t size, std::string what, Access access);
  ~SharedMapping();
  SharedMapping(const SharedMapping&) = delete;
  SharedMapping& operator=(const SharedMapping&) = delete;

  void* get() const { return mapping_; }

  // Throws util::Error(EPROTO) unless what was found in the memory is `as_expected`.
  void Check(bool as_expected) const;

 private:
  const size_t size_;
  const std::string what_;
  void* mapping_ = nullptr;
};

}  // namespace skopsfs::util
