#include "util/libfuse.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <string_view>
#include <utility>

#include "util/log.h"
#include "util/mutex.h"

namespace skopsfs::util {
namespace {

Mutex last_message_mutex;  // before the log's
// An array, since nothing may throw into libfuse.
std::array<char, 1024> last_message GUARDED_BY(last_message_mutex){};
bool logs GUARDED_BY(last_message_mutex) = false;

void Take(fuse_log_level level, const char* format, va_list arguments) noexcept {
  std::array<char, 1024> text;
  vsnprintf(text.data(), text.size(), format, arguments);
  std::string_view line = text.data();
  line = line.substr(0, line.find_last_not_of(" \n") + 1);
  if (line.empty()) return;
  text.at(line.size()) = '\0';
  if (level >= FUSE_LOG_DEBUG) return static_cast<void>(fprintf(stderr, "%s\n", text.data()));
  const MutexLock lock(last_message_mutex);
  if (logs) return LogError("libfuse: {}", line);
  last_message = text;
}

}  // namespace

std::string TakeLastMessage() {
  const MutexLock lock(last_message_mutex);
  return std::exchange(last_message, {}).data();
}

void TakeMessages(bool to_log) {
  const MutexLock lock(last_message_mutex);
  logs = to_log;
  fuse_set_log_func(Take);
}

}  // namespace skopsfs::util
