#include "catalog/source.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "util/error.h"
#include "util/log.h"

namespace skopsfs::catalog {
namespace {

using util::ErrnoError;
using util::Error;
using util::Quoted;
using util::UniqueFd;

Found StatOf(UniqueFd fd) {
  Found found{std::move(fd), {}};
  if (fstat(found.fd.get(), &found.st) != 0) throw ErrnoError("looking at the source");
  return found;
}

bool MayBeShown(unsigned char type, std::string_view name) {
  switch (type) {
    case DT_REG:
      return IsArchiveName(name);
    case DT_DIR:
    case DT_LNK:
    case DT_UNKNOWN:
      return name != "." && name != "..";
    default:
      return false;
  }
}

}  // namespace

bool IsArchiveName(std::string_view name) { return name.ends_with(".skops"); }

std::string JoinPath(const std::string& folder, std::string_view name) {
  return folder.empty() ? std::string(name) : folder + "/" + std::string(name);
}

Source::Source(const std::string& path)
    : path_(std::filesystem::absolute(path).lexically_normal()) {
  Found root = OpenRoot();
  if (S_ISREG(root.st.st_mode)) return;
  if (!root.is_folder()) {
    throw Error(ENOTDIR, "source " + Quoted(path) + " is neither a folder nor an archive");
  }
  std::error_code error;
  const auto canonical = std::filesystem::canonical(path_, error);
  if (error) throw ErrnoError("source " + Quoted(path), error.value());
  beneath_ = std::make_unique<Beneath>(std::move(root.fd), canonical.string());
}

Found Source::OpenRoot() const {
  if (beneath_) return StatOf(beneath_->Open(""));
  UniqueFd fd(open(path_.c_str(), O_PATH | O_CLOEXEC));
  if (!fd) throw ErrnoError("source " + Quoted(path_));
  return StatOf(std::move(fd));
}

Found Source::Open(const std::string& path) const {
  return path.empty() ? OpenRoot() : StatOf(beneath_->Open(path));
}

std::optional<Found> Source::OpenChild(const Found& folder, const std::string& folder_path,
                                       const std::string& name) const {
  UniqueFd fd(openat(folder.fd.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!fd) throw ErrnoError("opening " + Quoted(JoinPath(folder_path, name)));
  std::optional<Found> found = StatOf(std::move(fd));
  if (S_ISLNK(found->st.st_mode)) found = FollowLink(JoinPath(folder_path, name));
  if (!found || found->is_folder()) return found;
  if (S_ISREG(found->st.st_mode) && IsArchiveName(name)) return found;
  return std::nullopt;
}

std::optional<Found> Source::FollowLink(const std::string& path) const {
  try {
    return Open(path);
  } catch (const Error& error) {
    if (error.code() == EXDEV) {
      util::LogWarning("{}: not shown: the symbolic link leads out of the source", Quoted(path));
      return std::nullopt;
    }
    if (error.code() == ENOENT || error.code() == ENOTDIR || error.code() == ELOOP) {
      return std::nullopt;
    }
    throw;
  }
}

UniqueFd Source::OpenForReading(const Found& found) {
  // Through the O_PATH descriptor, so that what is opened is what was looked at.
  const std::string path = "/proc/self/fd/" + std::to_string(found.fd.get());
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd) throw ErrnoError("opening the archive");
  return fd;
}

std::vector<std::string> Source::List(const Found& folder) {
  UniqueFd fd(openat(folder.fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) throw ErrnoError("opening a folder");
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(fd.get()), closedir);
  if (!stream) throw ErrnoError("opening a folder");
  fd.Release();  // now the stream's
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = readdir(stream.get());
    if (entry == nullptr) break;
    if (MayBeShown(entry->d_type, entry->d_name)) names.emplace_back(entry->d_name);
  }
  if (errno != 0) throw ErrnoError("listing a folder");
  return names;
}

}  // namespace skopsfs::catalog
