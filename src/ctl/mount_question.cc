#include "ctl/mount_question.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "ctl/files.h"
#include "util/error.h"

namespace skopsfs::ctl {
namespace {

using util::Error;

constexpr size_t kMostStatus = size_t{64} << 20;     // bytes
constexpr size_t kMostMembers = 100'000;             // that are looked at, a mount
constexpr size_t kMostNames = 1000;                  // likewise; a mount tells of no more archives
constexpr auto kMostTime = std::chrono::seconds(3);  // for looking at names

// What the child sends: one of these, and after a status or problem its text.
struct Message {
  enum class Kind : uint32_t { kProblem, kStatus, kAlive, kMoreNames, kMember, kArchiveDone };

  Kind kind{};
  uint32_t text_size = 0;
  MemberPages pages{};
};

// The child's side.
class Teller {
 public:
  Teller(int pipe, const std::string& mountpoint, const std::set<std::string>& by_name)
      : pipe_(pipe), mountpoint_(mountpoint), by_name_(by_name) {}

  void Tell() {
    try {
      TellStatus();  // what comes next may hang with the source
      LookAtNames();
      const ServerStatus status = TellStatus();
      // Or each member that is opened would be read.
      if (!status.reads_at_open) TellMembers(status);
    } catch (const Error& error) {
      Send({.kind = Message::Kind::kProblem}, ReasonFor(error));
    } catch (const std::exception& error) {
      Send({.kind = Message::Kind::kProblem}, error.what());
    }
  }

 private:
  ServerStatus TellStatus() {
    const auto text = ReadWhole(JoinPath(mountpoint_, ".skopsfs/status.json"), kMostStatus);
    ServerStatus status = ParseServerStatus(text);
    Send({.kind = Message::Kind::kStatus}, text);
    return status;
  }

  // Of archives and folders.
  void LookAtNames() {
    if (ReadAttribute(mountpoint_, "archive")) return;  // it shows one archive
    const auto end = std::chrono::steady_clock::now() + kMostTime;
    std::vector<std::string> folders = {mountpoint_};
    size_t count = 0;
    for (size_t i = 0; i < folders.size(); ++i) {
      for (const auto& name : NamesIn(folders[i])) {
        if (++count > kMostNames || std::chrono::steady_clock::now() > end) {
          return Send({.kind = Message::Kind::kMoreNames});
        }
        const std::string path = JoinPath(folders[i], name);
        struct stat st {};
        const bool is_folder = stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
        if (is_folder && !name.ends_with(".skops")) folders.push_back(path);
        Send({.kind = Message::Kind::kAlive});
      }
    }
  }

  static std::vector<std::string> NamesIn(const std::string& folder) {
    try {
      return ListFolder(folder);
    } catch (const Error&) {  // we may not look into it, or it is gone by now
      return {};
    }
  }

  static std::string ReasonFor(const Error& error) {
    switch (error.code()) {
      case ENOTCONN:
      case ECONNABORTED:
        return "its server is dead; unmount it, and mount it anew";
      case ENOENT:
        return "it has no .skopsfs/status.json: its server is older than this program, or the "
               "archive that it shows is gone";
      case EACCES:
        return "its status is for the owner of its source, and for root where the mount lets "
               "others in (-o allow_other or allow_root)";
      default:
        return std::string(".skopsfs/status.json: ") + error.what();
    }
  }

  void Send(Message message, std::string_view text = {}) {
    message.text_size = static_cast<uint32_t>(text.size());
    Write(&message, sizeof(message));
    Write(text.data(), text.size());
  }

  void Write(const void* data, size_t size) {
    const auto* bytes = static_cast<const char*>(data);
    while (size > 0) {
      const ssize_t written = write(pipe_, bytes, size);
      if (written <= 0) _exit(EXIT_FAILURE);  // nobody wants to know any more
      bytes += written;
      size -= static_cast<size_t>(written);
    }
  }

  void TellMembers(const ServerStatus& status) {
    for (uint32_t i = 0; i < status.archives.size(); ++i) {
      const auto& archive = status.archives[i];
      // Behind the name of one that was replaced lies another one.
      if (!archive.is_current) continue;
      if (!archive.was_looked_into && archive.state != "failed") {
        Send({.kind = Message::Kind::kArchiveDone, .pages = {.archive = i}});
        continue;
      }
      const std::string folder =
          archive.path.empty() ? mountpoint_ : JoinPath(mountpoint_, archive.path);
      const bool has_failed = archive.state == "failed";
      // Not to fail once more, which the mount would count and log.
      if (has_failed && ReadAttribute(folder, "error")) continue;
      try {
        TellMembersOf(i, folder, has_failed);
        TellNamedOf(i, archive.path, folder);
        Send({.kind = Message::Kind::kArchiveDone, .pages = {.archive = i}});
      } catch (const Error&) {
        // We may not look at it, or it is gone by now.
      }
    }
  }

  void TellMembersOf(uint32_t number, const std::string& folder, bool has_failed) {
    VisitFiles(folder, [&](const std::string& member, const struct stat& st) {
      if (++members_ > kMostMembers) throw Error(EFBIG, "there are too many members");
      const auto resident = IsShownUnreadable(st)
                                ? std::optional<uint64_t>(0)
                                : ResidentOf(JoinPath(folder, member), has_failed);
      if (!resident) throw Error(EACCES, "it is not told");
      Send({.kind = Message::Kind::kMember,
            .pages = {.archive = number, .inode = st.st_ino, .resident = *resident}});
    });
  }

  // Where such a path leads in this archive. Others' paths may have anything before that.
  void TellNamedOf(uint32_t number, const std::string& archive, const std::string& folder) {
    const std::string above = (archive.empty() ? "" : "/" + archive) + "/by-name/";
    for (const auto& path : by_name_) {
      const size_t at = path.find(above);
      if (at == std::string::npos) continue;
      const std::string file = JoinPath(folder, "by-name/" + path.substr(at + above.size()));
      struct stat st {};
      if (stat(file.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) continue;
      Send({.kind = Message::Kind::kMember,
            .pages = {.archive = number,
                      .inode = st.st_ino,
                      .resident = ResidentOf(file, false).value_or(0)}});
    }
  }

  static std::optional<uint64_t> ResidentOf(const std::string& file, bool has_failed) {
    if (has_failed && ReadAttribute(file, "error")) return 0;
    const util::UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (fd) return ResidentBytes(fd.get());
    // A member that cannot be opened has no pages, unless it is we who may not.
    const bool may = errno != EACCES || ReadAttribute(file, "error");
    return may ? std::optional<uint64_t>(0) : std::nullopt;
  }

  const int pipe_;
  const std::string& mountpoint_;
  const std::set<std::string>& by_name_;
  size_t members_ = 0;
};

// Reads exactly `size` bytes; false at the end of the pipe, or when nothing came for too long.
bool ReadFrom(int pipe, void* data, size_t size, std::chrono::milliseconds patience,
              std::chrono::steady_clock::time_point& heard, bool& is_silent) {
  auto* bytes = static_cast<char*>(data);
  while (size > 0) {
    using std::chrono::milliseconds;
    const auto waited = std::chrono::steady_clock::now() - heard;
    const auto left = patience - std::chrono::duration_cast<milliseconds>(waited);
    pollfd readable{pipe, POLLIN, 0};
    const int ready = poll(&readable, 1, static_cast<int>(std::max(left, milliseconds(0)).count()));
    if (ready < 0 && errno == EINTR) continue;
    is_silent = ready == 0;
    if (ready <= 0) return false;
    const ssize_t got = read(pipe, bytes, size);
    if (got <= 0) return false;
    heard = std::chrono::steady_clock::now();
    bytes += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

void Take(const Message& message, std::string text, MountAnswer& answer) {
  switch (message.kind) {
    case Message::Kind::kProblem:
      answer.problem = std::move(text);
      return;
    case Message::Kind::kStatus:
      answer.status = ParseServerStatus(text);
      answer.looked_at.assign(answer.status.archives.size(), false);
      answer.problem.clear();
      return;
    case Message::Kind::kAlive:
      return;
    case Message::Kind::kMoreNames:
      answer.has_more = true;
      return;
    case Message::Kind::kMember:
      answer.members.push_back(message.pages);
      return;
    case Message::Kind::kArchiveDone:
      answer.looked_at.at(message.pages.archive) = true;
  }
}

}  // namespace

MountQuestion::MountQuestion(const std::string& mountpoint, const std::set<std::string>& by_name) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw util::ErrnoError("a pipe cannot be made");
  pipe_.Reset(ends[0]);
  util::UniqueFd write_end(ends[1]);
  child_ = fork();
  if (child_ < 0) throw util::ErrnoError("a process cannot be started");
  if (child_ > 0) return;
  // A child that is left behind must not keep a pipe to somebody else open.
  const int kept = dup2(write_end.get(), STDERR_FILENO + 1);
  for (int fd = 0; fd <= STDERR_FILENO; ++fd) close(fd);
  close_range(static_cast<unsigned>(kept) + 1, ~0U, 0);
  Teller(kept, mountpoint, by_name).Tell();
  _exit(EXIT_SUCCESS);
}

MountQuestion::~MountQuestion() {
  kill(child_, SIGKILL);
  // One that waits for a mount that hangs ends when that does.
  waitpid(child_, nullptr, WNOHANG);
}

MountAnswer MountQuestion::Wait(std::chrono::milliseconds patience) {
  MountAnswer answer{.problem = "it does not tell its status"};
  const auto read_all = [&](void* data, size_t size) {
    return ReadFrom(pipe_.get(), data, size, patience, heard_, answer.is_silent);
  };
  Message message;
  bool has_begun = false;
  while (read_all(&message, sizeof(message))) {
    std::string text(message.text_size, '\0');
    if (!read_all(text.data(), text.size())) break;
    has_begun = true;
    Take(message, std::move(text), answer);
  }
  if (answer.is_silent && !has_begun)
    answer.problem = "it does not answer; its server hangs, or its source does";
  return answer;
}

}  // namespace skopsfs::ctl
