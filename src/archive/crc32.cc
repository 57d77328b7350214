#include "archive/crc32.h"

#include <zlib.h>

#include <algorithm>
#include <iterator>

namespace skopsfs::archive {

std::optional<uint32_t> RunningCrc32::Add(uint64_t offset, std::span<const std::byte> bytes) {
  const uint64_t end = offset + bytes.size();
  // Before the mutex is taken, since it nearly always is what is needed.
  const uint32_t crc = Crc32(0, bytes);
  const util::MutexLock lock(mutex_);
  // Where some of them came before, the gaps between these.
  for (uint64_t at = offset; at < end;) {
    const auto next = runs_.upper_bound(at);
    if (next != runs_.begin() && std::prev(next)->second.end > at) {
      at = std::prev(next)->second.end;
      continue;
    }
    const uint64_t stop = next == runs_.end() ? end : std::min(end, next->first);
    const bool are_all = at == offset && stop == end;
    Insert(at, stop, are_all ? crc : Crc32(0, bytes.subspan(at - offset, stop - at)));
    at = stop;
  }
  if (runs_.size() > kMostRuns) runs_.clear();
  const bool is_whole =
      runs_.size() == 1 && runs_.begin()->first == 0 && runs_.begin()->second.end == size_;
  return is_whole ? std::optional(runs_.begin()->second.crc) : std::nullopt;
}

// A run that touches none but at its ends.
void RunningCrc32::Insert(uint64_t start, uint64_t end, uint32_t crc) {
  const auto joined = [](uint32_t first, uint32_t second, uint64_t size_of_second) {
    return static_cast<uint32_t>(
        crc32_combine(first, second, static_cast<z_off_t>(size_of_second)));
  };
  auto after = runs_.lower_bound(start);
  if (after != runs_.end() && after->first == end) {
    crc = joined(crc, after->second.crc, after->second.end - end);
    end = after->second.end;
    after = runs_.erase(after);
  }
  if (after != runs_.begin() && std::prev(after)->second.end == start) {
    auto& before = std::prev(after)->second;
    before.crc = joined(before.crc, crc, end - start);
    before.end = end;
  } else {
    runs_.emplace_hint(after, start, Run{end, crc});
  }
}

}  // namespace skopsfs::archive
