#include "worker/worker.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <new>
#include <optional>
#include <sstream>
#include <utility>

#include "util/background.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::worker {

namespace {

using handover::Channel;
using handover::Tell;

// As Supervisor::GiveTurn() writes it.
Inheritance::Quarantined ParseQuarantined(const std::string& text) {
  Inheritance::Quarantined parsed;
  std::istringstream words(text);
  auto& identity = parsed.identity;
  words >> identity.device >> identity.inode >> identity.size >> identity.mtime >> identity.ctime;
  words.ignore();
  std::getline(words, parsed.reason);
  return parsed;
}

bool CanRead(const source::Source::Parts& parts) {
  const std::string name = parts.is_single_archive
                               ? std::filesystem::path(parts.path).filename().string()
                               : std::string(".");
  const util::UniqueFd fd(
      openat(parts.folder.get(), name.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  return bool{fd};
}

// What the path of the source leads this user to; nothing when that stays what it was.
std::optional<source::Source::Parts> OpenAsServingUser(const WorkerSetup& setup) {
  const std::string label = "source " + util::Quoted(setup.source.path);
  try {
    const source::Source source(setup.source.path, setup.source.own);
    // Of a root that serves another user's folder, only that user's: a link of theirs may lead to
    // what only root can reach.
    if (setup.user.stays && source.OpenRoot().st.st_uid != setup.user.ids.uid) {
      throw util::Error(EPERM, label + " belongs to another user than when it was mounted");
    }
    return source.Share();
  } catch (const util::Error& error) {
    if (error.code() != EACCES || !CanRead(setup.source)) throw;
  }
  util::LogWarning(
      "{}: the user who serves it can no longer reach it: what was opened before is still served",
      label);
  return std::nullopt;
}

}  // namespace

WorkerSetup ReceiveSetup(Channel& supervisor) {
  handover::CheckProtocolVersion(supervisor.Expect(Tell::kHello).number);
  WorkerSetup setup;
  auto mount = supervisor.Expect(Tell::kMount, true);
  setup.mount = std::move(mount.fd);
  setup.mount_is_passed = mount.number != 0;
  setup.mountpoint = std::move(mount.text);
  setup.session = supervisor.Expect(Tell::kSession, true).fd;
  setup.slots = supervisor.Expect(Tell::kSlots, true).fd;
  setup.metrics = supervisor.Expect(Tell::kMetrics, true).fd;
  setup.notifier = supervisor.Expect(Tell::kNotifier, true).fd;
  auto source = supervisor.Expect(Tell::kSource, true);
  auto canonical = supervisor.Expect(Tell::kSourcePath, true);
  setup.source = {.path = std::move(source.text),
                  .canonical_path = std::move(canonical.text),
                  .is_single_archive = (source.number & handover::kSingleArchive) != 0,
                  .folder = std::move(source.fd),
                  .canonical_folder = std::move(canonical.fd),
                  .own = source::OwnMount(mount.slot)};
  setup.source_is_mountpoint = (source.number & handover::kMountPoint) != 0;
  setup.opens_source_anew = (source.number & handover::kToBeOpenedAnew) != 0;
  const auto user = supervisor.Expect(Tell::kUser);
  setup.user = {.ids = {static_cast<uid_t>(user.number), static_cast<gid_t>(user.slot)},
                .stays = user.text == "stays"};
  return setup;
}

Inheritance WaitForTurn(Channel& supervisor) {
  supervisor.Send(Tell::kPrepared, handover::kProtocolVersion);
  Inheritance inheritance;
  while (auto message = supervisor.Receive()) {
    switch (message->tell) {
      case Tell::kInherit:
        if (message->fd) {
          inheritance.descriptors.push_back(
              {message->number, message->slot, std::move(message->fd)});
        }
        break;
      case Tell::kQuarantine:
        inheritance.quarantined.push_back(ParseQuarantined(message->text));
        break;
      case Tell::kServe:
        if (message->number == 0) {
          throw util::Error(EPROTO, "supervisor and worker do not understand each other");
        }
        inheritance.generation = static_cast<uint32_t>(message->number);
        return inheritance;
      default:  // told to end before its turn
        throw util::Error(ECANCELED, "not needed any more");
    }
  }
  throw util::Error(EPIPE, "the supervisor is gone");
}

void OpenSourceAnew(const Channel& supervisor, WorkerSetup& setup) {
  auto opened = OpenAsServingUser(setup);
  if (!opened) return;
  auto& found = *opened;
  if (found.is_single_archive != setup.source.is_single_archive) {
    throw util::Error(EINVAL,
                      fmt::format("source {} was {} when it was mounted", util::Quoted(found.path),
                                  found.is_single_archive ? "a folder" : "one archive"));
  }
  if (setup.source_is_mountpoint && !source::IsMountPoint(found.folder.get())) {
    throw util::Error(ENODEV,
                      fmt::format("source {}: nothing is mounted there", util::Quoted(found.path)));
  }
  supervisor.Send(Tell::kSource, 0, 0, found.folder.get());
  supervisor.Send(Tell::kSourcePath, 0, 0, found.canonical_folder.get(), found.canonical_path);
  setup.source = std::move(found);
}

void BecomeWorker(const Channel& supervisor) {
  util::SetLogSink([&supervisor](util::LogLevel level, const std::string& line) {
    return supervisor.TrySend(Tell::kLog, static_cast<uint64_t>(level), 0, -1, line);
  });
  prctl(PR_SET_NAME, "skopsfs-worker");
  util::EndWithParent();
}

KeptBySupervisor::KeptBySupervisor(Channel& supervisor, uint32_t generation, size_t inherited,
                                   size_t most)
    : supervisor_(supervisor), most_(most), last_(uint64_t{generation} << 32), held_(inherited) {
  undropped_.reserve(held_);
}

// So that there is room for it when it is to be dropped, whatever memory there is then.
bool KeptBySupervisor::ReserveOneMore() noexcept {
  try {
    if (undropped_.capacity() <= held_) undropped_.reserve(2 * (held_ + 1));
  } catch (const std::bad_alloc&) {
    errno = ENOMEM;
    return false;
  }
  return true;
}

uint64_t KeptBySupervisor::Keep(uint64_t slot_id, int fd) noexcept {
  const util::MutexLock lock(mutex_);
  if (held_ >= most_) return 0;  // it is still to be told of those that were dropped
  const uint64_t number = ++last_;
  if (ReserveOneMore() && supervisor_.TrySend(Tell::kKeep, number, slot_id, fd)) {
    ++held_;
    too_many_ = false;
    return number;
  }
  too_many_ = errno == ETOOMANYREFS;
  if (errno != EAGAIN && !too_many_) {
    util::LogWarning("an open archive cannot be given to the supervisor: {}",
                     strerrordesc_np(errno));
  }
  return 0;
}

void KeptBySupervisor::Drop(uint64_t number) noexcept {
  const util::MutexLock lock(mutex_);
  undropped_.push_back(number);  // there is room: it was reserved
  SendDrops();
}

void KeptBySupervisor::SendDrops() noexcept {
  const auto sent = std::find_if_not(undropped_.begin(), undropped_.end(), [&](uint64_t number) {
    return supervisor_.TrySend(Tell::kDrop, number);
  });
  held_ -= static_cast<size_t>(sent - undropped_.begin());
  undropped_.erase(undropped_.begin(), sent);
}

void KeptBySupervisor::TryAgain() noexcept {
  const util::MutexLock lock(mutex_);
  SendDrops();
  if (std::exchange(too_many_, false)) Channel::TellOfTooMany();
}

void KeptBySupervisor::SendRest() noexcept {
  const util::MutexLock lock(mutex_);
  for (const uint64_t number : undropped_) supervisor_.Send(Tell::kDrop, number);
  undropped_.clear();
}

}  // namespace skopsfs::worker
