#include "ctl/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>

#include "archive/page_cache.h"
#include "util/error.h"
#include "util/unique_fd.h"

namespace skopsfs::ctl {
namespace {

using util::ErrnoError;

void VisitFilesBelow(const std::string& top, const std::string& below, const VisitFile& visit) {
  for (const auto& name : ListFolder(below.empty() ? top : JoinPath(top, below))) {
    const std::string path = below.empty() ? name : JoinPath(below, name);
    const std::string full = JoinPath(top, path);
    if (below.empty() && name == "by-name" && !ReadAttribute(full, "member")) continue;
    struct stat st {};
    if (stat(full.c_str(), &st) != 0) {
      // It may be gone, or a link to a member that cannot be shown: whoever reads it is told why.
      if (lstat(full.c_str(), &st) != 0) continue;
      st.st_size = 0;
      visit(path, st);
    } else if (S_ISREG(st.st_mode)) {
      visit(path, st);
    } else if (S_ISDIR(st.st_mode)) {
      VisitFilesBelow(top, path, visit);
    }
  }
}

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

std::string JoinPath(const std::string& folder, std::string_view name) {
  return folder + (folder.ends_with('/') ? "" : "/") + std::string(name);
}

std::vector<std::string> ListFolder(const std::string& path) {
  std::vector<std::string> names;
  std::error_code failed;
  const std::filesystem::directory_iterator end;
  for (std::filesystem::directory_iterator at(path, failed); at != end; at.increment(failed)) {
    names.push_back(at->path().filename().string());
  }
  if (failed) throw ErrnoError("it cannot be listed", failed.value());
  std::sort(names.begin(), names.end());
  return names;
}

std::string ReadFront(const std::string& path, size_t most) {
  const util::UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) throw ErrnoError("it cannot be opened");
  std::string text;
  while (text.size() < most) {
    constexpr size_t kPiece = size_t{64} << 10;
    const size_t before = text.size();
    text.resize(before + std::min(kPiece, most - before));
    const ssize_t got =
        TEMP_FAILURE_RETRY(read(file.get(), text.data() + before, text.size() - before));
    if (got < 0) throw ErrnoError("it cannot be read");
    text.resize(before + static_cast<size_t>(got));
    if (got == 0) break;
  }
  return text;
}

std::string ReadWhole(const std::string& path, size_t most) {
  std::string text = ReadFront(path, most + 1);
  if (text.size() > most) throw util::Error(EFBIG, "it is too long");
  return text;
}

std::optional<std::string> ReadAttribute(const std::string& path, std::string_view name) {
  const std::string full = "user.skopsfs." + std::string(name);
  std::array<char, 64 << 10> value;  // as long as they may be
  const ssize_t size = getxattr(path.c_str(), full.c_str(), value.data(), value.size());
  if (size < 0) return std::nullopt;
  return std::string(value.data(), static_cast<size_t>(size));
}

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

void VisitFiles(const std::string& folder, const VisitFile& visit) {
  VisitFilesBelow(folder, "", visit);
}

}  // namespace skopsfs::ctl
