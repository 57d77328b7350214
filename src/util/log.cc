#include "util/log.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <exception>
#include <optional>
#include <utility>

#include "util/mutex.h"
#include "util/syslog_socket.h"
#include "util/utf8.h"

namespace skopsfs::util {
namespace {

constexpr size_t kMostDifferent = 512;
// Of a worker, which has that budget, too: whatever it lets pass is to be seen, but for a worker
// that does not obey.
constexpr size_t kMostDifferentOfWorkers = 4 * kMostDifferent;
constexpr size_t kLongestLine = 3500;   // bytes; a pipe with room has room for 4096
constexpr int kMostWithoutMemory = 20;  // lines a period for which there was none

struct LogState {
  LogState() {
    BeginBudgets();
    spare.reserve(kLongestLine);
  }

  void BeginBudgets() REQUIRES(mutex);

  Mutex mutex;  // taken last: whoever logs may hold others
  std::optional<SyslogSocket> syslog GUARDED_BY(mutex);
  std::string subject GUARDED_BY(mutex);  // in syslog
  LogSink sink GUARDED_BY(mutex);
  std::optional<LogRateLimiter> own GUARDED_BY(mutex);
  std::optional<LogRateLimiter> workers GUARDED_BY(mutex);
  // Lines that nobody took, and that were not told of.
  uint64_t unwritten GUARDED_BY(mutex) = 0;
  // For a line when there is no memory for another one.
  std::string spare GUARDED_BY(mutex);
  LogRateLimiter::Clock::time_point spare_since GUARDED_BY(mutex);
  int spare_lines GUARDED_BY(mutex) = 0;
  uint64_t without_memory GUARDED_BY(mutex) = 0;  // lines that were left out
};

LogState& State() {
  static auto* state = new LogState;  // never destroyed: threads may log until the very end
  return *state;
}

bool WriteToStderr(std::string_view line) {
  pollfd room{STDERR_FILENO, POLLOUT, 0};
  if (poll(&room, 1, 0) == 0) return false;
  // Others may fill a pipe or a socket just now.
  struct stat st {};
  const mode_t type = fstat(STDERR_FILENO, &st) == 0 ? st.st_mode & S_IFMT : 0;
  const auto part = [](std::string_view text) {
    return iovec{const_cast<char*>(text.data()), text.size()};
  };
  std::array parts = {part("skopsfs: "), part(line.substr(0, kLongestLine)), part("\n")};
  ssize_t written = -1;
  errno = EOPNOTSUPP;
  if (type == S_IFSOCK) {
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    written = sendmsg(STDERR_FILENO, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } else if (type == S_IFIFO) {
    // Since Linux 6.4.
    written = pwritev2(STDERR_FILENO, parts.data(), parts.size(), -1, RWF_NOWAIT);
  }
  if (written < 0 && errno == EOPNOTSUPP) {
    written = writev(STDERR_FILENO, parts.data(), parts.size());
  }
  // What cannot be written at all has nowhere to say so.
  return written >= 0 || errno != EAGAIN;
}

bool Write(LogState& state, LogLevel level, const std::string& line) REQUIRES(state.mutex) {
  if (state.sink) return state.sink(level, line);
  if (state.syslog) return state.syslog->Send(level, state.subject + line);
  return WriteToStderr(line);
}

void TellUnwritten(LogState& state) REQUIRES(state.mutex) {
  if (state.unwritten == 0) return;
  if (Write(state, LogLevel::kWarning,
            fmt::format("{} lines before this one were lost: nobody read them", state.unwritten))) {
    state.unwritten = 0;
  }
}

void Emit(LogState& state, LogLevel level, const std::string& line) REQUIRES(state.mutex) {
  TellUnwritten(state);
  if (state.unwritten > 0 || !Write(state, level, line)) ++state.unwritten;
}

void LogState::BeginBudgets() {
  const auto write = [this](LogLevel level, const std::string& line)
                         REQUIRES(mutex) { Emit(*this, level, line); };
  own.emplace(kMostDifferent, write);
  workers.emplace(kMostDifferentOfWorkers, write);
  spare_lines = 0;
  without_memory = 0;
}

// Nothing here allocates, but for syslog, and where lines found no reader.
void WriteWithoutMemory(LogLevel level, fmt::string_view format,
                        fmt::format_args arguments) noexcept {
  try {
    LogState& state = State();
    const MutexLock lock(state.mutex);
    const auto now = LogRateLimiter::Clock::now();
    if (now - state.spare_since > LogRateLimiter::kPeriod) {
      state.spare_since = now;
      state.spare_lines = 0;
    }
    ++state.without_memory;
    if (++state.spare_lines > kMostWithoutMemory) return;
    state.spare.resize(kLongestLine);
    const auto made = fmt::vformat_to_n(state.spare.data(), kLongestLine, format, arguments);
    state.spare.resize(std::min(made.size, kLongestLine));
    // As Printable() has it, but without memory for a copy.
    for (char& c : state.spare) {
      if (c < ' ' || c > '~') c = '?';
    }
    Emit(state, level, state.spare);
    --state.without_memory;
  } catch (const std::exception&) {
    // It is counted.
  }
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

}  // namespace

void WriteLog(LogLevel level, const std::string& text, LogOrigin origin) noexcept {
  try {
    const std::string line = Printable(text);
    LogState& state = State();
    const MutexLock lock(state.mutex);
    auto& budget = origin == LogOrigin::kWorker ? state.workers : state.own;
    budget->Take(level, line, LogRateLimiter::Clock::now());
  } catch (const std::exception&) {
    WriteWithoutMemory(level, "{}", fmt::make_format_args(text));
  }
}

void WriteLog(LogLevel level, fmt::string_view format, fmt::format_args arguments) noexcept {
  std::string line;
  try {
    line = fmt::vformat(format, arguments);
  } catch (const std::exception&) {
    return WriteWithoutMemory(level, format, arguments);
  }
  WriteLog(level, line);
}

void TellLeftOutLines() noexcept {
  try {
    LogState& state = State();
    const MutexLock lock(state.mutex);
    const auto now = LogRateLimiter::Clock::now();
    for (auto* budget : {&state.own, &state.workers}) (*budget)->EndPeriod(now);
    TellUnwritten(state);
    if (state.without_memory == 0) return;
    state.own->Take(
        LogLevel::kWarning,
        fmt::format("out of memory for the log; {} lines left out", state.without_memory), now);
    state.without_memory = 0;
  } catch (const std::exception&) {
    // There is no memory yet.
  }
}

void UseSyslog(const char* program) {
  LogState& state = State();
  const MutexLock lock(state.mutex);
  state.syslog.emplace(program);
}

void SetLogSubject(std::string subject) {
  LogState& state = State();
  const MutexLock lock(state.mutex);
  state.subject = std::move(subject);
}

void SetLogSink(LogSink sink) {
  LogState& state = State();
  const MutexLock lock(state.mutex);
  state.sink = std::move(sink);
  state.BeginBudgets();
}

std::string Printable(std::string_view text) {
  const std::string valid = ReplaceInvalidUtf8(text);
  std::string out;
  for (std::string_view rest = valid; !rest.empty();) {
    const size_t harmful = HarmfulPrefix(rest, true);
    out += harmful > 0 ? '?' : rest.front();
    rest.remove_prefix(std::max<size_t>(harmful, 1));
  }
  return out;
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
