#include "supervisor/oom_score.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "util/unique_fd.h"

namespace skopsfs::supervisor {
namespace {

constexpr const char* kScore = "/proc/self/oom_score_adj";
constexpr const char* kSpared = "-1000";
constexpr const char* kVariable = "SKOPSFS_OOM_SCORE_ADJ";  // of processes that are not spared

bool Write(const char* score) {
  const util::UniqueFd file(open(kScore, O_WRONLY | O_CLOEXEC));
  return file && write(file.get(), score, std::strlen(score)) > 0;
}

}  // namespace

void SpareSupervisor() {
  if (std::getenv(kVariable) != nullptr) return;  // the program before this one has seen to it
  std::array<char, 16> score{};
  const util::UniqueFd file(open(kScore, O_RDONLY | O_CLOEXEC));
  const ssize_t size = file ? read(file.get(), score.data(), score.size() - 1) : 0;
  if (size <= 1 || !Write(kSpared)) return;
  score[static_cast<size_t>(size) - 1] = '\0';  // instead of the line's end
  // Whoever has spared this process from the start has not said what is to hold for others.
  setenv(kVariable, std::strcmp(score.data(), kSpared) == 0 ? "0" : score.data(), 1);
}

void DoNotSpareThisProcess() {
  const char* const score = std::getenv(kVariable);
  if (score != nullptr) Write(score);
}

}  // namespace skopsfs::supervisor
