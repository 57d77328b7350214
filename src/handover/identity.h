#pragma once

#include <sys/stat.h>

#include <cstdint>

namespace skopsfs::handover {

// What tells one version of a file from every other. The times are nanoseconds since 1970. A time
// before 1677 or after 2262 does not fit, and becomes some other number.
struct Identity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t mtime = 0;
  int64_t ctime = 0;

  bool operator==(const Identity&) const = default;
};

inline Identity IdentityOf(const struct stat& st) {
  const auto nanoseconds = [](const timespec& time) {
    return static_cast<int64_t>(static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 +
                                static_cast<uint64_t>(time.tv_nsec));
  };
  return {.device = st.st_dev,
          .inode = st.st_ino,
          .size = static_cast<uint64_t>(st.st_size),
          .mtime = nanoseconds(st.st_mtim),
          .ctime = nanoseconds(st.st_ctim)};
}

}  // namespace skopsfs::handover
