#include "fuse/libfuse.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <utility>

namespace skopsfs::fuse {
namespace {

std::mutex last_message_mutex;
std::string last_message;

void Keep(fuse_log_level level, const char* format, va_list arguments) {
  std::array<char, 1024> text;
  vsnprintf(text.data(), text.size(), format, arguments);
  std::string line = text.data();
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  if (line.empty()) return;
  if (level >= FUSE_LOG_DEBUG) return static_cast<void>(fprintf(stderr, "%s\n", line.c_str()));
  const std::lock_guard lock(last_message_mutex);
  last_message = line;
}

}  // namespace

std::string LibraryVersion() { return fuse_pkgversion(); }

std::string TakeLastMessage() {
  const std::lock_guard lock(last_message_mutex);
  return std::exchange(last_message, {});
}

void KeepMessages() { fuse_set_log_func(Keep); }

}  // namespace skopsfs::fuse
