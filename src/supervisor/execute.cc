#include "supervisor/execute.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <linux/close_range.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "supervisor/oom_score.h"
#include "supervisor/service_status.h"
#include "util/log.h"

namespace skopsfs::supervisor {
namespace {

void CloseAllOnExecute() {
  constexpr unsigned kFirst = STDERR_FILENO + 1;
  if (close_range(kFirst, UINT_MAX, CLOSE_RANGE_CLOEXEC) == 0) return;
  rlimit limit{};  // before Linux 5.11
  getrlimit(RLIMIT_NOFILE, &limit);
  for (unsigned fd = kFirst; fd < std::min<rlim_t>(limit.rlim_cur, 1 << 20); ++fd) {
    fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC);
  }
}

}  // namespace

pid_t Execute(int program, std::string_view kind, std::span<const int> kept,
              const std::vector<std::string>& arguments) {
  const std::string first = fmt::format("{}{}", kind, fmt::join(kept, ","));
  std::vector<const char*> words = {"skopsfs", first.c_str()};
  for (const auto& argument : arguments) words.push_back(argument.c_str());
  words.push_back(nullptr);
  const pid_t child = fork();
  if (child != 0) return child;
  CloseAllOnExecute();
  ServiceManager::Leave();
  DoNotSpareThisProcess();
  for (const int fd : kept) fcntl(fd, F_SETFD, 0);
  execveat(program, "", const_cast<char* const*>(words.data()), environ, AT_EMPTY_PATH);
  util::LogError("cannot run a worker: {}", strerrordesc_np(errno));
  _exit(127);
}

}  // namespace skopsfs::supervisor
