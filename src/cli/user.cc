#include "cli/user.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>

#include "util/error.h"
#include "util/log.h"

namespace skopsfs::cli {
namespace {

std::optional<id_t> Number(std::string_view text) {
  id_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && id != static_cast<id_t>(-1) ? std::optional(id) : std::nullopt;
}

}  // namespace

fuse::UserIds FindUser(const std::string& text) {
  const size_t colon = text.find(':');
  const std::string user = text.substr(0, colon);
  const auto number = Number(user);
  const passwd* const known = number ? getpwuid(*number) : getpwnam(user.c_str());
  if (known == nullptr && !number) {
    throw util::Error(EINVAL, fmt::format("there is no user {}", util::Quoted(user)));
  }
  fuse::UserIds ids{number ? *number : known->pw_uid, known != nullptr ? known->pw_gid : *number};
  if (colon == std::string::npos) return ids;
  const std::string group = text.substr(colon + 1);
  if (const auto id = Number(group)) {
    ids.gid = *id;
  } else if (const auto* const found = getgrnam(group.c_str())) {
    ids.gid = found->gr_gid;
  } else {
    throw util::Error(EINVAL, fmt::format("there is no group {}", util::Quoted(group)));
  }
  return ids;
}

}  // namespace skopsfs::cli
