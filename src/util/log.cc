#include "util/log.h"

#include <syslog.h>
#include <unistd.h>

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
};

LogState& State() {
  static auto* state = new LogState;  // never destroyed: threads may log until the very end
  return *state;
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
    const std::string text = "skopsfs: " + line + "\n";
    // A log that cannot be written has nowhere to say so.
    [[maybe_unused]] const auto written = write(STDERR_FILENO, text.data(), text.size());
  }
}

void ForgetFinishedPeriods(LogState& state, Clock::time_point now) {
  std::erase_if(state.repeats, [&](const auto& item) {
    return now - item.second.since >= kPeriod && item.second.left_out == 0;
  });
  if (state.repeats.size() >= kRemembered) state.repeats.clear();
}

}  // namespace

void WriteLog(LogLevel level, const std::string& line) {
  LogState& state = State();
  const std::lock_guard lock(state.mutex);
  const auto now = Clock::now();
  if (state.repeats.size() >= kRemembered) ForgetFinishedPeriods(state, now);
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
  std::string out = "\"";
  const bool valid = IsUtf8(text);
  const bool cut = text.size() > kLongest;
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && (!valid || cut))) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  out += cut ? "\"..." : "\"";
  return out;
}

}  // namespace skopsfs::util
