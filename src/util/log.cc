#include "util/log.h"

#include <poll.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <optional>

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
  bool syslog = false;
  LogSink sink;
  std::optional<LineBudget> own;
  std::optional<LineBudget> workers;
  uint64_t unwritten = 0;
};

LogState& State() {
  static auto* state = new LogState;  // never destroyed: threads may log until the very end
  return *state;
}

// Never waits: a reader who does not read must not stop who serves.
void WriteToStderr(LogState& state, const std::string& text) {
  pollfd room{STDERR_FILENO, POLLOUT, 0};
  if (poll(&room, 1, 0) == 0) {
    ++state.unwritten;
    return;
  }
  std::string front;
  if (state.unwritten > 0) {
    front = fmt::format("skopsfs: {} lines before this one found no reader\n", state.unwritten);
    state.unwritten = 0;
  }
  front += text;
  // A log that cannot be written has nowhere to say so.
  [[maybe_unused]] const auto written = write(STDERR_FILENO, front.data(), front.size());
}

void Emit(LogState& state, LogLevel level, const std::string& line) {
  if (state.sink) {
    state.sink(level, line);
  } else if (state.syslog) {
    const int priority = level == LogLevel::kError     ? LOG_ERR
                         : level == LogLevel::kWarning ? LOG_WARNING
                                                       : LOG_INFO;
    syslog(priority, "%s", line.c_str());
  } else {
    WriteToStderr(state, "skopsfs: " + line.substr(0, kLongestLine) + "\n");
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

void WriteLog(LogLevel level, const std::string& line, LogOrigin origin) {
  LogState& state = State();
  const std::lock_guard lock(state.mutex);
  auto& budget = origin == LogOrigin::kWorker ? state.workers : state.own;
  budget->Take(level, line, LineBudget::Clock::now());
}

void TellLeftOutLines() {
  LogState& state = State();
  const std::lock_guard lock(state.mutex);
  const auto now = LineBudget::Clock::now();
  for (auto* budget : {&state.own, &state.workers}) (*budget)->EndPeriod(now);
}

void UseSyslog(const char* program) {
  LogState& state = State();
  const std::lock_guard lock(state.mutex);
  openlog(program, LOG_PID | LOG_NDELAY, LOG_DAEMON);
  state.syslog = true;
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
