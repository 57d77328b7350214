#pragma once

#include <libdeflate.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>

#include "util/mutex.h"

namespace skopsfs::archive {

// The CRC-32 of what `crc` is that of (0 for nothing), followed by `bytes`. libdeflate's uses the
// processor's carry-less multiplication, which Debian's zlib does not.
inline uint32_t Crc32(uint32_t crc, std::span<const std::byte> bytes) {
  return libdeflate_crc32(crc, bytes.data(), bytes.size());
}

// The CRC-32 of a member whose bytes come in pieces: in order, nearly so, or as some runs that are
// read at the same time. Bytes may come again. What is read here and there, so that it makes too
// many runs, is not kept track of. Thread-safe.
class RunningCrc32 {
 public:
  explicit RunningCrc32(uint64_t size) : size_(size) {}

  // Adds the bytes at `offset`, which lie within the size. The CRC-32 of the whole when
  // these were the last that were missing.
  std::optional<uint32_t> Add(uint64_t offset, std::span<const std::byte> bytes);

 private:
  static constexpr size_t kMostRuns = 64;

  struct Run {
    uint64_t end;
    uint32_t crc;
  };
  using Runs = std::map<uint64_t, Run>;  // by where they start; neither overlapping nor touching

  void Insert(uint64_t start, uint64_t end, uint32_t crc) REQUIRES(mutex_);

  const uint64_t size_;
  util::Mutex mutex_;
  Runs runs_ GUARDED_BY(mutex_);
};

}  // namespace skopsfs::archive
