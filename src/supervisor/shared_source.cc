#include "supervisor/shared_source.h"

#include <sys/stat.h>

#include <utility>

#include "supervisor/mountpoint.h"
#include "util/log.h"

namespace skopsfs::supervisor {

using handover::Tell;

SharedSource::SharedSource(const source::Source& source, const MountOptions& mount)
    : mount_(mount),
      parts_(source.Share()),
      is_mountpoint_(!parts_.is_single_archive && source::IsMountPoint(parts_.folder.get())) {
  struct stat st {};
  const auto& folder = parts_.is_single_archive ? parts_.canonical_folder : parts_.folder;
  if (fstat(folder.get(), &st) == 0) device_ = st.st_dev;
}

SharedSource::SharedSource(const handover::SupervisorState& state, const MountOptions& mount)
    : mount_(mount),
      parts_{.path = state.source_path,
             .canonical_path = state.canonical_source_path,
             .is_single_archive = state.is_single_archive,
             .folder = util::Duplicate(state.source),
             .canonical_folder = util::Duplicate(state.canonical_source),
             .own = source::OwnMount()},
      is_mountpoint_(state.source_is_mountpoint),
      device_(state.source_device) {
  if (state.source_is_looked_for) look_at_ = Clock::now();
}

void SharedSource::SaveTo(handover::SupervisorState& state) const {
  state.source_path = parts_.path;
  state.canonical_source_path = parts_.canonical_path;
  state.is_single_archive = parts_.is_single_archive;
  state.source = parts_.folder.get();
  state.canonical_source = parts_.canonical_folder.get();
  state.source_is_mountpoint = is_mountpoint_;
  state.source_device = device_;
  state.source_is_looked_for = is_looked_for();
}

bool SharedSource::MayBeOpenedAnew() const {
  if (mount_.passed) return true;
  const auto& mountpoint = mount_.mountpoint;
  for (const auto& path : {parts_.path, parts_.canonical_path}) {
    if (path == mountpoint || LiesInside(path, mountpoint)) return false;
  }
  return true;
}

void SharedSource::SendTo(const handover::Channel& worker, bool to_be_opened_anew) const {
  const uint64_t source_is = (parts_.is_single_archive ? uint64_t{handover::kSingleArchive} : 0) |
                             (to_be_opened_anew ? uint64_t{handover::kToBeOpenedAnew} : 0) |
                             (is_mountpoint_ ? uint64_t{handover::kMountPoint} : 0);
  worker.Send(Tell::kSource, source_is, 0, parts_.folder.get(), parts_.path);
  worker.Send(Tell::kSourcePath, 0, 0, parts_.canonical_folder.get(), parts_.canonical_path);
}

void SharedSource::Replace(source::Source::Parts opened) {
  parts_.folder = std::move(opened.folder);
  parts_.canonical_folder = std::move(opened.canonical_folder);
  parts_.canonical_path = std::move(opened.canonical_path);
}

void SharedSource::Gone(bool may_be_looked_for) {
  if (look_at_) return;
  util::LogError("the source {} is gone: mount it again{}", util::Quoted(parts_.path),
                 may_be_looked_for ? "; skopsfs looks for it every 2 s" : ", and restart skopsfs");
  if (may_be_looked_for) look_at_ = Clock::now();
}

void SharedSource::Looked() { look_at_ = Clock::now() + std::chrono::seconds(2); }

bool SharedSource::IsSaidAgain(const std::string& line) {
  return std::exchange(last_said_, line) == line;
}

void SharedSource::Found() {
  if (!std::exchange(look_at_, std::nullopt)) return;
  last_said_.clear();
  util::LogInfo("the source {} is back, and a new worker serves it", util::Quoted(parts_.path));
}

}  // namespace skopsfs::supervisor
