#include "worker/setup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>

#include <filesystem>
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

// As Quarantine::SendTo() of the supervisor writes it.
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

Inheritance ReceiveInheritance(Channel& supervisor) {
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

}  // namespace skopsfs::worker
