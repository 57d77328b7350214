#include "util/log.h"

#include <poll.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "util/utf8.h"

namespace skopsfs::util {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kLinesPerPeriod = 5;
constexpr auto kPeriod = std::chrono::minutes(1);
constexpr size_t kRemembered = 512;
constexpr size_t kLongestLine = 3500;  // bytes; a pipe with room has room for 4096

struct Repeat {
  Clock::time_point since;
  int written = 0;
  uint64_t left_out = 0;
};

struct LogState {
  std::mutex mutex;
  bool syslog = false;
  LogSink sink;
  std::unordered_map<std::string, Repeat> repeats;
  uint64_t unremembered = 0;
  uint64_t unwritten = 0;
  Clock::time_point unremembered_said;
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

void ForgetFinishedPeriods(LogState& state, Clock::time_point now) {
  std::erase_if(state.repeats,
                [&](const auto& item) { return now - item.second.since >= kPeriod; });
}

// For lines that there is no room to remember: names come from strangers, who have many. Says how
// many there were, once a period.
void CountUnremembered(LogState& state, Clock::time_point now) {
  ++state.unremembered;
  if (now - state.unremembered_said < kPeriod) return;
  Emit(state, LogLevel::kWarning,
       fmt::format("too many different lines; {} left out", state.unremembered));
  state.unremembered = 0;
  state.unremembered_said = now;
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

void WriteLog(LogLevel level, const std::string& line) {
  LogState& state = State();
  const std::lock_guard lock(state.mutex);
  const auto now = Clock::now();
  if (state.repeats.size() >= kRemembered) ForgetFinishedPeriods(state, now);
  const bool known = state.repeats.contains(line);
  if (!known && state.repeats.size() >= kRemembered) return CountUnremembered(state, now);
  Repeat& repeat = state.repeats[line];
  if (repeat.written == 0 || now - repeat.since >= kPeriod) {
    const uint64_t left_out = repeat.left_out;
    repeat = {.since = now, .written = 1, .left_out = 0};
    Emit(state, level,
         left_out == 0 ? line : fmt::format("{} (and {} more times before)", line, left_out));
  } else if (repeat.written < kLinesPerPeriod) {
    ++repeat.written;
    Emit(state, level, line);
  } else {
    ++repeat.left_out;
  }
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
  state.repeats.clear();
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
