#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>

#include "util/log_rate_limiter.h"

// The program's log: one line an event. It goes to stderr until UseSyslog() is called. A
// LogRateLimiter bounds it. Nobody who logs waits for who reads the log: lines that nobody takes
// are counted, and their number is logged as soon as somebody reads on. No function that writes a
// line throws: without memory it is written all the same, within a small bound of its own. All
// functions are thread-safe.
namespace skopsfs::util {

// Whose line it is. Each has a rate limiter of its own, so that neither can silence the other.
enum class LogOrigin { kThisProcess, kWorker };

void WriteLog(LogLevel level, const std::string& line,
              LogOrigin origin = LogOrigin::kThisProcess) noexcept;

// The same for a line that it formats.
void WriteLog(LogLevel level, fmt::string_view format, fmt::format_args arguments) noexcept;

// Logs how many lines were left out, or found no reader, when it is time to. To be called every few
// seconds.
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

// From now on lines go to syslog (facility daemon) under the name `program`.
void UseSyslog(const char* program);

// Sets what each line begins with in syslog, where lines of several mounts stand side by side.
void SetLogSubject(std::string subject);

// From now on lines go to `sink`, one at a time, until it is set to nullptr. It must not wait, and
// returns whether it took the line. All rate limiters begin anew.
using LogSink = std::function<bool(LogLevel, const std::string&)>;
void SetLogSink(LogSink sink);

// `text` on one line, with '?' for what a terminal would act on.
std::string Printable(std::string_view text);

// `text` in double quotes, cut after 200 bytes. Control characters, quotes, backslashes and invalid
// UTF-8 are escaped: names come from strangers, and must stay on one line of the log.
std::string Quoted(std::string_view text);

}  // namespace skopsfs::util
