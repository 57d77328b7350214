#include "cli/user.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>

#include "util/error.h"
#include "util/log.h"
#include "util/number.h"

namespace skopsfs::cli {
namespace {

std::optional<id_t> Number(std::string_view text) {
  const auto id = util::ParseNumber<id_t>(text);
  return id != static_cast<id_t>(-1) ? id : std::nullopt;
}

// The ids of "USER[:GROUP]", both names or numbers; without a group, the user's own. Throws
// util::Error when there is no such user or group.
util::UserIds FindUser(const std::string& text) {
  const size_t colon = text.find(':');
  const std::string user = text.substr(0, colon);
  const auto number = Number(user);
  const passwd* const known = number ? getpwuid(*number) : getpwnam(user.c_str());
  if (known == nullptr && !number) {
    throw util::Error(EINVAL, fmt::format("there is no user {}", util::Quoted(user)));
  }
  util::UserIds ids{number ? *number : known->pw_uid, known != nullptr ? known->pw_gid : *number};
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

OpenedSource OpenAs(const util::UserIds& user, const Options& options) {
  const std::string cannot = "the user of --user cannot read the source " +
                             util::Quoted(options.source) + ": give it access, or name another";
  std::optional<util::AsUser> as_user;
  try {
    as_user.emplace(user);
  } catch (const util::Error&) {
    throw util::Error(EPERM,
                      "this root may not become another user: --user takes CAP_SETUID "
                      "and CAP_SETGID");
  }
  try {
    return {source::Source(options.source), {.ids = user}};
  } catch (const util::Error& error) {
    if (error.code() == EACCES) throw util::Error(EACCES, cannot);
    throw;
  }
}

}  // namespace

OpenedSource OpenSource(const Options& options) {
  if (!options.user.empty()) {
    if (geteuid() != 0) {
      throw util::Error(EPERM, "--user needs root: only root can become another user");
    }
    const auto user = FindUser(options.user);
    if (options.sandbox) return OpenAs(user, options);
  }
  OpenedSource opened{source::Source(options.source), {}};
  const auto owner = opened.source.OpenRoot().st;
  opened.user.ids = {owner.st_uid, owner.st_gid};
  if (geteuid() != 0 || !options.sandbox) return opened;
  try {
    const util::AsUser as_user(opened.user.ids);
    opened.source.OpenToRead();
  } catch (const util::Error& error) {
    opened.user.stays = true;
    util::LogWarning("source {}: {}; the worker stays root, without capabilities",
                     util::Quoted(options.source),
                     error.code() == EPERM ? "this root may not become the source's owner"
                                           : "the source's owner cannot read it");
  }
  return opened;
}

}  // namespace skopsfs::cli
