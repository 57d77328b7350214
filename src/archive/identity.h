#pragma once

#include <sys/stat.h>

#include <cstdint>

namespace skopsfs::archive {

// What tells one version of a file from every other. The times are nanoseconds since 1970.
struct Identity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t mtime = 0;
  int64_t ctime = 0;

  bool operator==(const Identity&) const = default;
};

inline Identity IdentityOf(const struct stat& st) {
  constexpr int64_t kNanoseconds = 1'000'000'000;
  return {.device = st.st_dev,
          .inode = st.st_ino,
          .size = static_cast<uint64_t>(st.st_size),
          .mtime = st.st_mtim.tv_sec * kNanoseconds + st.st_mtim.tv_nsec,
          .ctime = st.st_ctim.tv_sec * kNanoseconds + st.st_ctim.tv_nsec};
}

}  // namespace skopsfs::archive
