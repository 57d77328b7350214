#include "supervisor/end_watch.h"

#include <dirent.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

namespace skopsfs::supervisor {
namespace {

constexpr auto kGrace = std::chrono::milliseconds(300);  // with one that ends as it should
constexpr auto kOften = std::chrono::milliseconds(20);
constexpr auto kSeldom = std::chrono::seconds(1);  // while nobody knows that it ends

// Nothing of a thread that has just ended: reading fails then although opening did not, and
// iterators of a stream would throw.
std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  std::getline(file, text, '\0');
  return text;
}

bool HasKillPending(const std::string& status) {
  constexpr std::string_view kPending = "\nSigPnd:\t";
  const size_t at = status.find(kPending);
  if (at == status.npos) return false;
  const uint64_t set = std::strtoull(status.c_str() + at + kPending.size(), nullptr, 16);
  return (set >> (SIGKILL - 1) & 1) != 0;
}

// A thread with SIGKILL pending does not return from the kernel to its own code. While it can be
// scheduled it may still finish what it is at there, as taking a request from /dev/fuse, which
// would be lost; when it waits and only what it waits for can wake it, it is past that: where the
// kernel copies a request to memory that is not there, it gives up when SIGKILL is pending. That is
// not pending any more for one that has begun to end.
bool RunsNoMore(const std::string& thread) {
  constexpr uint64_t kEnds = 0x4 | 0x400;  // PF_EXITING, PF_SIGNALED
  const auto [letter, flags] = StateOf(thread);
  if (letter == '?') return access(thread.c_str(), F_OK) != 0 && errno == ENOENT;
  if (letter == 'Z' || letter == 'X') return true;
  return letter == 'D' && ((flags & kEnds) != 0 || HasKillPending(Read(thread + "/status")));
}

}  // namespace

ThreadState StateOf(const std::string& folder) {
  ThreadState state;
  const std::string stat = Read(folder + "/stat");
  const size_t name_end = stat.rfind(')');
  if (name_end == stat.npos) return state;
  std::istringstream words(stat.substr(name_end + 1));
  std::string skipped;
  words >> state.letter;
  for (int i = 0; i < 5; ++i) words >> skipped;  // parent, group, session and terminal
  words >> state.flags;
  return state;
}

bool RunsNoMore(pid_t pid) {
  // None is made any more when the others were killed. Not by std::filesystem, whose iterators end
  // the program where there is no memory.
  const std::string folder = "/proc/" + std::to_string(pid) + "/task/";
  const std::unique_ptr<DIR, int (*)(DIR*)> tasks(opendir(folder.c_str()), closedir);
  if (!tasks) return false;
  size_t threads = 0;
  const dirent* entry = nullptr;
  errno = 0;
  while ((entry = readdir(tasks.get())) != nullptr) {
    if (entry->d_name[0] == '.') continue;
    ++threads;
    if (!RunsNoMore(folder + entry->d_name)) return false;
    errno = 0;
  }
  return errno == 0 && threads > 0;
}

void EndWatch::Hurry() {
  if (std::exchange(hurries_, true)) return;
  look_at_ = Clock::now() + kGrace;
}

bool EndWatch::Look() {
  look_at_ = Clock::now() + (hurries_ ? kOften : kSeldom);
  if (!RunsNoMore(pid_)) return false;
  if (hurries_) return true;
  Hurry();
  return false;
}

}  // namespace skopsfs::supervisor
