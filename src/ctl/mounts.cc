#include "ctl/mounts.h"

#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

#include "ctl/files.h"
#include "util/number.h"

namespace skopsfs::ctl {
namespace {

constexpr size_t kMostBytes = size_t{64} << 20;  // of mountinfo

// Takes what comes before the next `separator`.
std::string_view Next(std::string_view& text, char separator) {
  const auto word = text.substr(0, text.find(separator));
  text.remove_prefix(std::min(text.size(), word.size() + 1));
  return word;
}

// mountinfo has spaces, tabs, newlines and backslashes as "\040" and so on.
std::string Unescaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto code = util::ParseNumber<unsigned>(text.substr(1, 3), 8);
    if (text[0] == '\\' && text.size() >= 4 && code) {
      out += static_cast<char>(*code);
      text.remove_prefix(4);
    } else {
      out += text[0];
      text.remove_prefix(1);
    }
  }
  return out;
}

dev_t DeviceOf(std::string_view text) {
  const auto major_number = util::ParseNumber<unsigned>(Next(text, ':'));
  const auto minor_number = util::ParseNumber<unsigned>(text);
  return makedev(major_number.value_or(0), minor_number.value_or(0));
}

}  // namespace

std::vector<MountPoint> ParseMounts(std::string_view mountinfo) {
  std::vector<MountPoint> mounts;
  while (!mountinfo.empty()) {
    auto line = Next(mountinfo, '\n');
    Next(line, ' ');  // its number and its parent's
    Next(line, ' ');
    MountPoint mount{.device = DeviceOf(Next(line, ' '))};
    mount.is_whole = Next(line, ' ') == "/";
    mount.path = Unescaped(Next(line, ' '));
    std::erase_if(mounts, [&](const MountPoint& other) { return other.path == mount.path; });
    while (!line.empty() && Next(line, ' ') != "-") {
    }
    const auto type = Next(line, ' ');
    mount.source = Unescaped(Next(line, ' '));
    mount.is_certain = type == "fuse.skopsfs";
    if (mount.is_certain || type == "fuse") mounts.push_back(std::move(mount));
  }
  return mounts;
}

std::vector<MountPoint> ReadMounts() {
  return ParseMounts(ReadWhole("/proc/self/mountinfo", kMostBytes));
}

bool IsOnMount(const std::vector<MountPoint>& mounts, dev_t device) {
  return std::any_of(mounts.begin(), mounts.end(), [&](const MountPoint& mount) {
    if (mount.device != device) return false;
    return mount.is_certain || access(JoinPath(mount.path, ".skopsfs/health").c_str(), F_OK) == 0;
  });
}

}  // namespace skopsfs::ctl
