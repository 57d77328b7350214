#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Calls on files. Those that fail throw util::Error. All are thread-safe.
namespace skopsfs::ctl {

// The names in a folder, sorted, without "." and "..".
std::vector<std::string> ListFolder(const std::string& path);

// The first bytes of a file, `most` or all that it has.
std::string ReadFront(const std::string& path, size_t most);

// All bytes of a file of unknown size, as in /proc. Throws util::Error(EFBIG) when there are more
// than `most`.
std::string ReadWhole(const std::string& path, size_t most);

// The attribute user.skopsfs.`name` of what `path` leads to on a mount of ours. Nothing when it has
// none, or cannot be asked.
std::optional<std::string> ReadAttribute(const std::string& path, std::string_view name);

// Whether a mount shows a member without read bits, because its archive says that it is unreadable.
// Only root gets the reason: the kernel gives attributes to those who may read the file.
inline bool IsShownUnreadable(const struct stat& st) {
  constexpr mode_t kReadBits = 0444;
  return S_ISREG(st.st_mode) && (st.st_mode & kReadBits) == 0;
}
inline constexpr auto kShownUnreadable = "it cannot be read; the log of the mount says why";

std::string JoinPath(const std::string& folder, std::string_view name);

// How many bytes of the open file are in the page cache, by cachestat, or by mincore on kernels
// before 6.5. Nothing where the kernel does not tell: since 2019 it tells owners and root only.
std::optional<uint64_t> ResidentBytes(int fd);

using VisitFile = std::function<void(const std::string& path, const struct stat& st)>;

// Calls `visit` with the relative path of every regular file below `folder` on a mount, and of the
// files that links lead to. Where `folder` is an archive, it leaves out by-name, which leads to the
// same members again. Throws util::Error for a folder that cannot be listed.
void VisitFiles(const std::string& folder, const VisitFile& visit);

}  // namespace skopsfs::ctl
