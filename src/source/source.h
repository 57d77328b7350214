#pragma once

#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "source/contained_resolver.h"
#include "util/unique_fd.h"

namespace skopsfs::source {

// Whether a regular file of this name is shown as an archive.
bool IsArchiveName(std::string_view name);

// Whether what lies at `path`, relative to the source, with this mode is shown as the file it is.
bool IsPlainFile(std::string_view path, mode_t mode);

// Something in the source that is there to be shown: a folder, an archive or another file.
struct Found {
  util::UniqueFd fd;  // O_PATH
  struct stat st;     // its mode within what access lists and links allow, see permissions.h

  bool is_folder() const { return S_ISDIR(st.st_mode); }
};

// What a SOURCE argument names: a folder of archives, or one archive. Gives access to what lies in
// it and to nothing else. Opens the folder once, whatever becomes of its path; of one archive, that
// is the folder it lies in. Owns its descriptor. Thread-safe.
class Source {
 public:
  // `own` is the mount that is to show it, where there is one already. Not explicit: a path is what
  // a source is. Throws util::Error when `path` is neither a folder nor a regular file.
  Source(const std::string& path, OwnMount own = OwnMount());

  // What another process needs, to see the same source whatever becomes of its path.
  struct Parts {
    std::string path;
    std::string canonical_path;
    bool is_single_archive = false;
    util::UniqueFd folder;  // O_PATH: the source, or for a single archive what it lies in
    // The folder of its canonical path. It is another one when the single archive is a link. It is
    // opened here, because later the path may lead to our own mount.
    util::UniqueFd canonical_folder;
    OwnMount own;
  };
  Parts Share() const;
  explicit Source(Parts parts);

  // From now on only folders and archives are shown. To be called before there are threads.
  void HideOthers() { shows_others_ = false; }

  bool is_single_archive() const { return resolver_ == nullptr; }
  const std::string& path() const { return path_; }  // absolute, as it was given
  const std::string& canonical_path() const { return canonical_path_; }

  // The folder or single archive itself.
  Found OpenRoot() const;

  // Throws util::Error when the root cannot be read now.
  void CheckReadable() const;

  // Opens the root as the user that this process is just now. Reads nothing. Throws likewise.
  util::UniqueFd OpenToRead() const;

  // What `path`, relative to the source, leads to. Throws util::Error: EXDEV where it leads out.
  Found Open(const std::string& path) const;

  // The child `name` of the open folder, whose path is `folder_path`. Nothing when it is not there,
  // or not shown. Not shown are sockets, pipes, devices, links that lead nowhere, and other files
  // where they are hidden. Nor are links that lead out of the source and the mount that shows the
  // source; these two are logged.
  std::optional<Found> OpenChild(const Found& folder, const std::string& folder_path,
                                 const std::string& name) const;

  // The attributes of the child when it is a regular file that is shown; nothing otherwise. Does
  // not open it, so the mode is the one that it has in the source.
  std::optional<struct stat> StatFile(const Found& folder, const std::string& name) const;

  // Opens the regular file `found` for reading.
  static util::UniqueFd OpenForReading(const Found& found);

  // The names in `folder` that may be shown, in the order of the file system.
  std::vector<std::string> List(const Found& folder) const;

 private:
  bool ShowsFile(std::string_view name) const;
  bool MayBeShown(unsigned char type, std::string_view name) const;
  util::UniqueFd OpenForSource(const std::string& path) const;
  std::optional<Found> FollowLink(const std::string& path) const;

  std::string path_;
  std::string canonical_path_;
  OwnMount own_;
  std::string name_;  // the last part of the path
  // Of a single archive: the folder that its name is looked up in. A path could lead to our own
  // mount once that is there.
  util::UniqueFd parent_;
  std::unique_ptr<ContainedResolver> resolver_;  // of a folder
  bool shows_others_ = true;
};

// Whether the open folder is the root of a filesystem that is mounted on another one.
bool IsMountPoint(int folder);

// "folder/name", or just "name" in the root.
std::string JoinPath(const std::string& folder, std::string_view name);

}  // namespace skopsfs::source
