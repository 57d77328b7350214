#pragma once

#include <cstddef>
#include <string>

#include "util/unique_fd.h"

namespace skopsfs::util {

// Memory for processes that are given the descriptor, all zeros, of a size that none of them can
// change. It takes as much as is written to. `name` is what /proc shows. Throws util::Error when
// there is none.
UniqueFd MakeSharedMemory(const std::string& name, size_t size);

}  // namespace skopsfs::util
