#include "fuse/read_ahead.h"

#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdint>
#include <fstream>

namespace skopsfs::fuse {
namespace {

constexpr uint64_t kLeast = 1024;  // KiB: a request costs as much as reading this much

// KiB; 0 when there is no such file.
uint64_t ReadNumber(const std::string& path) {
  uint64_t number = 0;
  std::ifstream(path) >> number;
  return number;
}

uint64_t ReadAheadOf(dev_t device) {
  const std::string name = fmt::format("{}:{}", major(device), minor(device));
  // Of a network filesystem, of a disk, of a part of one.
  for (const auto& folder : {"/sys/class/bdi/" + name, "/sys/dev/block/" + name + "/bdi",
                             "/sys/dev/block/" + name + "/../bdi"}) {
    if (const auto found = ReadNumber(folder + "/read_ahead_kb")) return found;
  }
  return 0;
}

}  // namespace

void TakeOverReadAhead(dev_t source, const std::string& mount) {
  const std::string path = "/sys/class/bdi/" + mount + "/read_ahead_kb";
  const uint64_t wanted = std::max(ReadAheadOf(source), kLeast);
  if (wanted > ReadNumber(path)) std::ofstream(path) << wanted;
}

}  // namespace skopsfs::fuse
