#include "util/log.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <optional>

#include "util/syslog_socket.h"
#include "util/utf8.h"

namespace skopsfs::util {
namespace {

constexpr size_t kMostDifferent = 512;
// Of a worker, which has that budget, too: whatever it lets pass is to be seen, but for a worker
// that does not obey.
constexpr size_t kMostDifferentOfWorkers = 4 * kMostDifferent;
constexpr size_t kLongestLine = 3500;  // bytes; a pipe with room has room for 4096

struct LogState;
void Emit(LogState& state, LogLevel level, const std::string& line);

struct LogState {
  LogState() { BeginBudgets(); }

  void BeginBudgets() {
    const auto write = [this](LogLevel level, const std::string& line) {
      Emit(*this, level, line);
    };
    own.emplace(kMostDifferent, write);
    workers.emplace(kMostDifferentOfWorkers, write);
  }

  std::mutex mutex;
  std::optional<SyslogSocket> syslog;
  std::string subject;  // in syslog
  LogSink sink;
  std::optional<LineBudget> own;
  std::optional<LineBudget> workers;
  uint64_t unwritten = 0;  // lines that nobody took, and that were not told of
};

LogState& State() {
  static auto* state = new LogState;  // never destroyed: threads may log until the very end
  return *state;
}

bool WriteToStderr(const std::string& text) {
  pollfd room{STDERR_FILENO, POLLOUT, 0};
  if (poll(&room, 1, 0) == 0) return false;
  // Others may fill a pipe or a socket just now.
  struct stat st {};
  const mode_t type = fstat(STDERR_FILENO, &st) == 0 ? st.st_mode & S_IFMT : 0;
  const iovec part{const_cast<char*>(text.data()), text.size()};
  ssize_t written = -1;
  errno = EOPNOTSUPP;
  if (type == S_IFSOCK) {
    written = send(STDERR_FILENO, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  } else if (type == S_IFIFO) {
    written = pwritev2(STDERR_FILENO, &part, 1, -1, RWF_NOWAIT);  // since Linux 6.4
  }
  if (written < 0 && errno == EOPNOTSUPP) {
    written = write(STDERR_FILENO, text.data(), text.size());
  }
  // What cannot be written at all has nowhere to say so.
  return written >= 0 || errno != EAGAIN;
}

bool Write(LogState& state, LogLevel level, const std::string& line) {
  if (state.sink) return state.sink(level, line);
  if (state.syslog) return state.syslog->Send(level, state.subject + line);
  return WriteToStderr("skopsfs: " + line.substr(0, kLongestLine) + "\n");
}

void TellUnwritten(LogState& state) {
  if (state.unwritten == 0) return;
  if (Write(state, LogLevel::kWarning,
            fmt::format("{} lines before this one found no reader", state.unwritten))) {
    state.unwritten = 0;
  }
}

void Emit(LogState& state, LogLevel level, const std::string& line) {
  TellUnwritten(state);
  if (state.unwritten > 0 || !Write(state, level, line)) ++state.unwritten;
}

// How many bytes at the front of `text` must not reach a terminal or break a line: control
// characters, line separators and what turns the direction of writing; all above ASCII unless the
// text is UTF-8.
size_t HarmfulPrefix(std::string_view text, bool as_utf8) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  if (byte(0) < 0x20 || byte(0) == 0x7f) return 1;
  if (byte(0) < 0x80) return 0;
  if (!as_utf8) return 1;
  if (byte(0) == 0xc2 && byte(1) < 0xa0) return 2;
  if (byte(0) == 0xe2 && byte(1) == 0x80 && byte(2) >= 0xa8 && byte(2) <= 0xae) return 3;
  return 0;
}

// On one line, with nothing in it that a terminal acts on, whoever has made it.
std::string Printable(const std::string& line) {
  const std::string valid = ReplaceInvalidUtf8(line);
  std::string out;
  for (std::string_view rest = valid; !rest.empty();) {
    const size_t harmful = HarmfulPrefix(rest, true);
    out += harmful > 0 ? '?' : rest.front();
    rest.remove_prefix(std::max<size_t>(harmful, 1));
  }
  return out;
}

}  // namespace

void WriteLog(LogLevel level, const std::string& line, LogOrigin origin) {
  LogState& state = State();
  const std::lock_guard lock(state.mutex);
  auto& budget = origin == LogOrigin::kWorker ? state.workers : state.own;
  budget->Take(level, Printable(line), LineBudget::Clock::now());
}

void TellLeftOutLines() {
  LogState& state = State();
  const std::lock_guard lock(state.mutex);
  const auto now = LineBudget::Clock::now();
  for (auto* budget : {&state.own, &state.workers}) (*budget)->EndPeriod(now);
  TellUnwritten(state);
}

void UseSyslog(const char* program) {
  LogState& state = State();
  const std::lock_guard lock(state.mutex);
  state.syslog.emplace(program);
}

void SetLogSubject(std::string subject) {
  LogState& state = State();
  const std::lock_guard lock(state.mutex);
  state.subject = std::move(subject);
}

void SetLogSink(LogSink sink) {
  LogState& state = State();
  const std::lock_guard lock(state.mutex);
  state.sink = std::move(sink);
  state.BeginBudgets();
}

std::string Quoted(std::string_view text) {
  constexpr size_t kLongest = 200;
  const bool cut = text.size() > kLongest;
  const bool as_utf8 = !cut && IsUtf8(text);
  text = text.substr(0, kLongest);
  std::string out = "\"";
  while (!text.empty()) {
    const size_t harmful = HarmfulPrefix(text, as_utf8);
    for (const char c : text.substr(0, harmful)) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
    if (harmful == 0) {
      if (text.front() == '"' || text.front() == '\\') out += '\\';
      out += text.front();
    }
    text.remove_prefix(std::max<size_t>(harmful, 1));
  }
  out += cut ? "\"..." : "\"";
  return out;
}

}  // namespace skopsfs::util
