#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>

#include "util/log_rate_limiter.h"

// The program's log: one line an event, to stderr until UseSyslog() is called, as many as a
// LogRateLimiter allows. Nobody who logs ever waits for who reads it: lines that nobody takes are
// counted, and their number is said as soon as somebody does. Nor does what writes a line throw:
// where there is no memory for it, it is written all the same, with a small budget of its own. All
// functions are thread-safe.
namespace skopsfs::util {

// Whose line it is. Each has a budget of its own, so that neither can silence the other.
enum class LogOrigin { kThisProcess, kWorker };

void WriteLog(LogLevel level, const std::string& line,
              LogOrigin origin = LogOrigin::kThisProcess) noexcept;

// The same for a line that is made here.
void WriteLog(LogLevel level, fmt::string_view format, fmt::format_args arguments) noexcept;

// To be called every few seconds: says how many lines were left out or found no reader, when it is
// time to.
void TellLeftOutLines() noexcept;

template <typename... Args>
void LogError(fmt::format_string<Args...> format, Args&&... args) noexcept {
  WriteLog(LogLevel::kError, format, fmt::make_format_args(args...));
}
template <typename... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) noexcept {
  WriteLog(LogLevel::kWarning, format, fmt::make_format_args(args...));
}
template <typename... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) noexcept {
  WriteLog(LogLevel::kInfo, format, fmt::make_format_args(args...));
}

// From now on lines go to syslog (facility daemon), named `program`.
void UseSyslog(const char* program);

// What each line begins with in syslog, where those of several mounts may lie side by side.
void SetLogSubject(std::string subject);

// Lines go to `sink`, one at a time, until it is set back to nullptr. It must not wait, and says
// whether it took the line. All budgets begin anew.
using LogSink = std::function<bool(LogLevel, const std::string&)>;
void SetLogSink(LogSink sink);

// `text` on one line, with '?' for what a terminal would act on, whoever has made it.
std::string Printable(std::string_view text);

// `text` in double quotes with control characters, quotes, backslashes and invalid UTF-8 escaped,
// cut after 200 bytes: names come from strangers and must stay on one line of the log.
std::string Quoted(std::string_view text);

}  // namespace skopsfs::util
