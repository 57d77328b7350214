#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Plain calls on files, with util::Error for what fails. Thread-safe.
namespace skopsfs::ctl {

// The names in a folder, sorted, without "." and "..".
std::vector<std::string> ListFolder(const std::string& path);

// The first bytes of a file, `most` or all that it has.
std::string ReadFront(const std::string& path, size_t most);

// All bytes of a file whose size is not known before, as in /proc. util::Error(EFBIG) when there
// are more than `most`.
std::string ReadWhole(const std::string& path, size_t most);

// The attribute user.skopsfs.`name` of what `path` leads to on a mount of ours; nothing when it has
// none, or cannot be asked.
std::optional<std::string> ReadAttribute(const std::string& path, std::string_view name);

// Of a member that can be seen to be unreadable a mount shows no read bits. Its reason is then told
// to root alone, as the kernel has attributes read by who may read the file.
inline bool IsShownUnreadable(const struct stat& st) {
  constexpr mode_t kReadBits = 0444;
  return S_ISREG(st.st_mode) && (st.st_mode & kReadBits) == 0;
}
inline constexpr auto kShownUnreadable = "it cannot be read; the log of the mount says why";

std::string JoinPath(const std::string& folder, std::string_view name);

using VisitFile = std::function<void(const std::string& path, const struct stat& st)>;

// Calls `visit` for every regular file below `folder` on a mount, with its path relative to it, and
// those that links in by-name lead to. by-name itself is left out where `folder` is an archive: it
// leads to the same members once more. Throws util::Error for a folder that cannot be listed.
void VisitFiles(const std::string& folder, const VisitFile& visit);

}  // namespace skopsfs::ctl
