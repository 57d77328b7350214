#include "supervisor/read_ahead.h"

#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdint>
#include <fstream>

#include "util/log.h"

namespace skopsfs::supervisor {
namespace {

// KiB. With the kernel's own 128 each request costs more than what it brings; with more than this
// reads in order gain nothing, and rows here and there bring in more that nobody asked for
// (docs/benchmarks.md).
constexpr uint64_t kLeast = 512;

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

void SetReadAhead(const std::string& mount, std::optional<unsigned> wanted,
                  std::optional<dev_t> source) {
  const std::string path = "/sys/class/bdi/" + mount + "/read_ahead_kb";
  const uint64_t target = wanted.value_or(std::max(source ? ReadAheadOf(*source) : 0, kLeast));
  if (!wanted && target <= ReadNumber(path)) return;
  std::ofstream file(path);
  file << target << std::flush;
  if (!file && wanted)
    util::LogWarning("the read-ahead is not changed, since that takes root: {} cannot be set",
                     path);
}

}  // namespace skopsfs::supervisor
