#include "ctl/page_cache.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "archive/page_cache.h"

namespace skopsfs::ctl {
namespace {

std::optional<uint64_t> AskMincore(int fd, uint64_t size) {
  constexpr uint64_t kPart = uint64_t{1} << 30;  // mapped at a time
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages(std::min(kPart, size) / page + 1);
  uint64_t resident = 0;
  for (uint64_t start = 0; start < size; start += kPart) {
    const auto length = static_cast<size_t>(std::min(kPart, size - start));
    void* const map = mmap(nullptr, length, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(start));
    if (map == MAP_FAILED) return std::nullopt;
    const bool told = mincore(map, length, pages.data()) == 0;
    munmap(map, length);
    if (!told) return std::nullopt;
    const auto end = pages.begin() + static_cast<ptrdiff_t>((length + page - 1) / page);
    resident += page * static_cast<uint64_t>(std::count_if(
                           pages.begin(), end, [](unsigned char one) { return (one & 1) != 0; }));
  }
  return std::min(resident, size);
}

}  // namespace

std::optional<uint64_t> ResidentBytes(int fd) {
  struct stat st {};
  if (fstat(fd, &st) != 0) return std::nullopt;
  // To others mincore says that all pages are there.
  if (geteuid() != 0 && geteuid() != st.st_uid) return std::nullopt;
  const auto size = static_cast<uint64_t>(st.st_size);
  if (size == 0) return 0;
  if (const auto bytes = archive::BytesInPageCache(fd, 0, size)) return std::min(*bytes, size);
  return AskMincore(fd, size);
}

}  // namespace skopsfs::ctl
