#include "util/mount_table.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "util/number.h"
#include "util/unique_fd.h"

namespace skopsfs::util {
namespace {

// Takes what comes before the next `separator`.
std::string_view Next(std::string_view& text, char separator) {
  const auto word = text.substr(0, text.find(separator));
  text.remove_prefix(std::min(text.size(), word.size() + 1));
  return word;
}

// The kernel writes spaces, tabs, newlines and backslashes as "\040" and so on.
std::string Unescaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto code = ParseNumber<unsigned char>(text.substr(1, 3), 8);
    const bool is_escape = text[0] == '\\' && text.size() >= 4 && code;
    out += is_escape ? static_cast<char>(*code) : text[0];
    text.remove_prefix(is_escape ? 4 : 1);
  }
  return out;
}

// ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [FIELD...] - TYPE SOURCE OPTIONS
std::optional<MountEntry> ParseLine(std::string_view line) {
  MountEntry mount;
  const auto id = ParseNumber<uint64_t>(Next(line, ' '));
  Next(line, ' ');
  const auto major_number = ParseNumber<unsigned>(Next(line, ':'));
  const auto minor_number = ParseNumber<unsigned>(Next(line, ' '));
  mount.root = Unescaped(Next(line, ' '));
  mount.mountpoint = Unescaped(Next(line, ' '));
  while (!line.empty() && Next(line, ' ') != "-") {
  }
  mount.type = Unescaped(Next(line, ' '));
  mount.source = Unescaped(Next(line, ' '));
  if (!id || !major_number || !minor_number || line.empty()) return std::nullopt;
  mount.id = *id;
  mount.device = makedev(*major_number, *minor_number);
  return mount;
}

}  // namespace

std::vector<MountEntry> ParseMountTable(std::string_view mountinfo) {
  std::vector<MountEntry> mounts;
  while (!mountinfo.empty()) {
    if (auto mount = ParseLine(Next(mountinfo, '\n'))) mounts.push_back(*std::move(mount));
  }
  return mounts;
}

std::vector<MountEntry> ReadMountTable() {
  const UniqueFd file(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  std::string text;
  while (true) {
    std::array<char, 4096> piece;
    const ssize_t got = TEMP_FAILURE_RETRY(read(file.get(), piece.data(), piece.size()));
    if (got < 0) return {};
    if (got == 0) return ParseMountTable(text);
    text.append(piece.data(), static_cast<size_t>(got));
  }
}

}  // namespace skopsfs::util
