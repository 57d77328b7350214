#include "source/source.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

#include <filesystem>

#include "source/permissions.h"
#include "util/error.h"
#include "util/log.h"
#include "util/progress.h"

namespace skopsfs::source {
namespace {

using util::ErrnoError;
using util::Error;
using util::Quoted;
using util::UniqueFd;

// Nothing, with errno, where there is no such file. On a network file system this asks the server,
// where fstat may answer with what was known some time ago; for a folder it also makes the lookups
// in it right.
std::optional<struct stat> StatAt(int folder, const char* name, int flags) {
  struct statx now {};
  if (statx(folder, name, flags | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &now) != 0) {
    return std::nullopt;
  }
  struct stat st {};
  st.st_dev = makedev(now.stx_dev_major, now.stx_dev_minor);
  st.st_ino = now.stx_ino;
  st.st_mode = now.stx_mode;
  st.st_nlink = now.stx_nlink;
  st.st_uid = now.stx_uid;
  st.st_gid = now.stx_gid;
  st.st_size = static_cast<off_t>(now.stx_size);
  st.st_blocks = static_cast<blkcnt_t>(now.stx_blocks);
  st.st_atim = {.tv_sec = now.stx_atime.tv_sec, .tv_nsec = now.stx_atime.tv_nsec};
  st.st_mtim = {.tv_sec = now.stx_mtime.tv_sec, .tv_nsec = now.stx_mtime.tv_nsec};
  st.st_ctim = {.tv_sec = now.stx_ctime.tv_sec, .tv_nsec = now.stx_ctime.tv_nsec};
  return st;
}

Found StatOf(UniqueFd fd) {
  const auto st = StatAt(fd.get(), "", AT_EMPTY_PATH);
  if (!st) throw ErrnoError("looking at the source");
  return {std::move(fd), *st};
}

std::string ProcPath(const UniqueFd& fd) { return "/proc/self/fd/" + std::to_string(fd.get()); }

bool IsChildName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
}

}  // namespace

bool IsArchiveName(std::string_view name) {
  // macOS keeps what its filesystem says of a file beside it, where the disk has no room for that.
  return name.ends_with(".skops") && !name.starts_with("._");
}

bool IsPlainFile(std::string_view path, mode_t mode) {
  // A single archive has no path.
  return S_ISREG(mode) && !path.empty() && !IsArchiveName(path.substr(path.rfind('/') + 1));
}

bool IsMountPoint(int folder) {
  struct stat here {};
  struct stat above {};
  return fstat(folder, &here) == 0 && fstatat(folder, "..", &above, AT_NO_AUTOMOUNT) == 0 &&
         here.st_dev != above.st_dev;
}

std::string JoinPath(const std::string& folder, std::string_view name) {
  return folder.empty() ? std::string(name) : folder + "/" + std::string(name);
}

Source::Source(const std::string& path, OwnMount own)
    : path_(std::filesystem::absolute(path).lexically_normal()),
      own_(own),
      name_(std::filesystem::absolute(path).filename()) {
  parent_ = OpenForSource(std::filesystem::absolute(path).parent_path());
  Found root = OpenRoot();
  if (!root.is_folder() && !S_ISREG(root.st.st_mode)) {
    throw Error(ENOTDIR, "source " + Quoted(path) + " is neither a folder nor an archive");
  }
  OpenToRead();           // better said at the start than by the first user
  std::error_code error;  // a look at the path itself might go through our own mount
  canonical_path_ = std::filesystem::read_symlink(ProcPath(root.fd), error);
  if (error) throw ErrnoError("source " + Quoted(path), error.value());
  if (root.is_folder()) {
    resolver_ =
        std::make_unique<ContainedResolver>(std::move(root.fd), canonical_path_, path_, own_);
  }
}

// A path of the source, or of a folder that it lies in.
UniqueFd Source::OpenForSource(const std::string& path) const {
  try {
    return own_.OpenPath(parent_ ? parent_.get() : AT_FDCWD, path);
  } catch (const Error& error) {
    const std::string label = "source " + Quoted(path_);
    if (error.code() == EDEADLK) throw Error(ELOOP, label + ": " + error.what());
    throw ErrnoError(label, error.code());
  }
}

Source::Parts Source::Share() const {
  const int folder = resolver_ ? resolver_->root() : parent_.get();
  const auto canonical_folder = is_single_archive()
                                    ? std::filesystem::path(canonical_path_).parent_path()
                                    : std::filesystem::path(canonical_path_);
  Parts parts{path_,
              canonical_path_,
              is_single_archive(),
              UniqueFd(fcntl(folder, F_DUPFD_CLOEXEC, 0)),
              OpenForSource(canonical_folder),
              own_};
  if (!parts.folder) throw ErrnoError("source " + Quoted(path_));
  return parts;
}

Source::Source(Parts parts)
    : path_(std::move(parts.path)),
      canonical_path_(std::move(parts.canonical_path)),
      own_(parts.own),
      name_(std::filesystem::path(path_).filename()) {
  if (parts.is_single_archive) {
    parent_ = std::move(parts.folder);
  } else {
    resolver_ =
        std::make_unique<ContainedResolver>(std::move(parts.folder), canonical_path_, path_, own_);
  }
}

Found Source::OpenRoot() const {
  const util::Waiting waiting(util::WaitsFor::kSource);
  UniqueFd fd = resolver_ ? resolver_->Open("") : OpenForSource(name_.empty() ? "." : name_);
  Found found = StatOf(std::move(fd));
  found.st.st_mode = WithinAccessList(found.fd.get(), found.st.st_mode);
  return found;
}

UniqueFd Source::OpenToRead() const {
  const util::Waiting waiting(util::WaitsFor::kSource);
  const Found root = OpenRoot();
  UniqueFd fd(root.is_folder()
                  ? openat(root.fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                  : open(ProcPath(root.fd).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd) throw ErrnoError("source " + Quoted(path_));
  return fd;
}

void Source::CheckReadable() const {
  const util::Waiting waiting(util::WaitsFor::kSource);
  UniqueFd fd = OpenToRead();
  if (is_single_archive()) return;
  struct stat st {};
  if (fstat(fd.get(), &st) != 0) throw ErrnoError("source " + Quoted(path_));
  if (st.st_nlink == 0) throw Error(ENOENT, "source " + Quoted(path_) + ": it was removed");
  // A folder on a filesystem that went away may still be opened.
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(fd.get()), closedir);
  if (!stream) throw ErrnoError("source " + Quoted(path_));
  fd.Release();  // now the stream's
  errno = 0;
  if (readdir(stream.get()) == nullptr && errno != 0) throw ErrnoError("source " + Quoted(path_));
}

Found Source::Open(const std::string& path) const {
  const util::Waiting waiting(util::WaitsFor::kSource);
  return path.empty() ? OpenRoot() : StatOf(resolver_->Open(path));
}

std::optional<Found> Source::OpenChild(const Found& folder, const std::string& folder_path,
                                       const std::string& name) const {
  if (!IsChildName(name)) return std::nullopt;
  const util::Waiting waiting(util::WaitsFor::kSource);
  UniqueFd fd(openat(folder.fd.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!fd) throw ErrnoError("opening " + Quoted(JoinPath(folder_path, name)));
  if (own_.Has(fd.get())) {
    util::LogWarning("{}: not shown: it is this mount itself", Quoted(JoinPath(folder_path, name)));
    return std::nullopt;
  }
  std::optional<Found> found = StatOf(std::move(fd));
  if (S_ISLNK(found->st.st_mode)) found = FollowLink(JoinPath(folder_path, name));
  if (!found) return std::nullopt;
  const bool shown = found->is_folder() || (S_ISREG(found->st.st_mode) && ShowsFile(name));
  if (!shown) return std::nullopt;
  found->st.st_mode = WithinAccessList(found->fd.get(), found->st.st_mode);
  return found;
}

std::optional<struct stat> Source::StatFile(const Found& folder, const std::string& name) const {
  if (!IsChildName(name) || !ShowsFile(name)) return std::nullopt;
  const util::Waiting waiting(util::WaitsFor::kSource);
  if (own_.Has(folder.fd.get(), name.c_str())) return std::nullopt;
  const auto st = StatAt(folder.fd.get(), name.c_str(), AT_SYMLINK_NOFOLLOW);
  return st && S_ISREG(st->st_mode) ? st : std::nullopt;
}

std::optional<Found> Source::FollowLink(const std::string& path) const {
  try {
    std::vector<struct stat> folders;
    std::optional<Found> found = StatOf(
        resolver_->Walk(path, [&](const struct stat& folder) { folders.push_back(folder); }));
    for (const auto& folder : folders) found->st.st_mode = WithinFolder(found->st, folder);
    return found;
  } catch (const Error& error) {
    if (error.code() == EXDEV) {
      util::LogWarning("{}: not shown: the symbolic link leads out of the source", Quoted(path));
      return std::nullopt;
    }
    if (error.code() == EDEADLK) {
      util::LogWarning("{}: not shown: {}", Quoted(path), error.what());
      return std::nullopt;
    }
    if (error.code() == ENOENT || error.code() == ENOTDIR || error.code() == ELOOP) {
      return std::nullopt;
    }
    throw;
  }
}

UniqueFd Source::OpenForReading(const Found& found) {
  const util::Waiting waiting(util::WaitsFor::kSource);
  // Through the O_PATH descriptor, so that what is opened is what was looked at.
  UniqueFd fd(open(ProcPath(found.fd).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd) throw ErrnoError("opening the archive");
  return fd;
}

// A file named as the mount's own folder is would hide that.
bool Source::ShowsFile(std::string_view name) const {
  return IsArchiveName(name) || (shows_others_ && name != ".skopsfs");
}

bool Source::MayBeShown(unsigned char type, std::string_view name) const {
  if (type == DT_REG) return ShowsFile(name);
  const bool may_be_folder = type == DT_DIR || type == DT_LNK || type == DT_UNKNOWN;
  return may_be_folder && name != "." && name != "..";
}

std::vector<std::string> Source::List(const Found& folder) const {
  const util::Waiting waiting(util::WaitsFor::kSource);
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

}  // namespace skopsfs::source
