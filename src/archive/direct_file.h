#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "util/unique_fd.h"

namespace skopsfs::archive {

// A file once more, for reads straight from its disk, past the page cache. They take half of the
// processor's time and bring in exactly what is asked for, but nothing ahead. Thread-safe.
class DirectFile {
 public:
  // Offsets, sizes and addresses are multiples of this. Disks may allow less, and are slow at it.
  static constexpr size_t kBlock = 4096;

  // Whether the filesystem of the file behind `fd` can do this and says so: none before Linux 6.1,
  // none without a disk of its own, nor overlayfs, whose page cache is elsewhere.
  static bool IsPossible(int fd);

  // Opens the file behind `fd` again. nullptr when that fails, or when a hundred files are open so
  // already (or an eighth of the descriptors that there may be).
  static std::unique_ptr<DirectFile> Open(int fd);

  ~DirectFile();
  DirectFile(const DirectFile&) = delete;
  DirectFile& operator=(const DirectFile&) = delete;

  // Fills `out`; false when it could not, for whatever reason.
  bool Read(uint64_t offset, std::span<std::byte> out) const;

  // The same for any range of at most kMostAround bytes, through memory of the thread's own. Not
  // for the last block of a file.
  bool ReadAround(uint64_t offset, std::span<std::byte> out) const;
  static constexpr size_t kMostAround = size_t{256} << 10;

 private:
  DirectFile();

  util::UniqueFd fd_;
};

}  // namespace skopsfs::archive
