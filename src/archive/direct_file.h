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

  // Opens the file behind `fd` again. nullptr where the filesystem does not say that it can do this
  // (before Linux 6.1, or none on a disk of its own), or where a hundred files are open so already.
  static std::unique_ptr<DirectFile> Open(int fd);

  ~DirectFile();
  DirectFile(const DirectFile&) = delete;
  DirectFile& operator=(const DirectFile&) = delete;

  // Fills `out`; false when it could not, for whatever reason.
  bool Read(uint64_t offset, std::span<std::byte> out) const;

 private:
  explicit DirectFile(util::UniqueFd fd) : fd_(std::move(fd)) {}

  const util::UniqueFd fd_;
};

// Whether an eighth or more of a range of the file is in the page cache. True also where the kernel
// does not say: before Linux 6.5, or since 6.13 to those who may not write the file.
bool IsInPageCache(int fd, uint64_t offset, uint64_t size);

}  // namespace skopsfs::archive
