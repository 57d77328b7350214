#pragma once

#include <cstdint>
#include <optional>

namespace skopsfs::ctl {

// How many bytes of the open file are in the page cache, by cachestat, or by mincore on kernels
// before 6.5. Nothing where the kernel does not tell: since 2019 it tells owners and root only.
std::optional<uint64_t> ResidentBytes(int fd);

}  // namespace skopsfs::ctl
