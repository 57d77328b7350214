#include "util/libfuse.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <string_view>
#include <utility>

#include "util/log.h"

namespace skopsfs::util {
namespace {

std::mutex last_message_mutex;
std::array<char, 1024> last_message{};  // nothing may throw into libfuse
bool logs = false;

void Take(fuse_log_level level, const char* format, va_list arguments) noexcept {
  std::array<char, 1024> text;
  vsnprintf(text.data(), text.size(), format, arguments);
  std::string_view line = text.data();
  line = line.substr(0, line.find_last_not_of(" \n") + 1);
  if (line.empty()) return;
  text.at(line.size()) = '\0';
  if (level >= FUSE_LOG_DEBUG) return static_cast<void>(fprintf(stderr, "%s\n", text.data()));
  const std::lock_guard lock(last_message_mutex);
  if (logs) return LogError("libfuse: {}", line);
  last_message = text;
}

}  // namespace

std::string TakeLastMessage() {
  const std::lock_guard lock(last_message_mutex);
  return std::exchange(last_message, {}).data();
}

void TakeMessages(bool to_log) {
  const std::lock_guard lock(last_message_mutex);
  logs = to_log;
  fuse_set_log_func(Take);
}

}  // namespace skopsfs::util
