#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>

// The program's log: one line an event, to stderr until UseSyslog() is called. The same line is
// written at most five times a minute; the next one after that says how many were left out. Of
// different lines at most 512 are written in a minute.
// All functions are thread-safe.
namespace skopsfs::util {

enum class LogLevel { kError, kWarning, kInfo };

void WriteLog(LogLevel level, const std::string& line);

template <typename... Args>
void LogError(fmt::format_string<Args...> format, Args&&... args) {
  WriteLog(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  WriteLog(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  WriteLog(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}

// From now on lines go to syslog (facility daemon), named `program`.
void UseSyslog(const char* program);

// Lines go to `sink`, one at a time, until it is set back to nullptr.
using LogSink = std::function<void(LogLevel, const std::string&)>;
void SetLogSink(LogSink sink);

// `text` in double quotes with control characters, quotes, backslashes and invalid UTF-8 escaped,
// cut after 200 bytes: names come from strangers and must stay on one line of the log.
std::string Quoted(std::string_view text);

}  // namespace skopsfs::util
