#include "supervisor/stderr_capture.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <string_view>

namespace skopsfs::supervisor {

StderrCapture::StderrCapture()
    : original_(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)),
      taken_(memfd_create("stderr", MFD_CLOEXEC)) {
  if (original_ && taken_) dup2(taken_.get(), STDERR_FILENO);
}

StderrCapture::~StderrCapture() {
  if (original_ && taken_) dup2(original_.get(), STDERR_FILENO);
}

std::string StderrCapture::Line() const {
  constexpr std::string_view kProgram = "fusermount3: ";
  std::array<char, 1024> text{};
  const ssize_t size = pread(taken_.get(), text.data(), text.size(), 0);
  std::string line(text.data(), size > 0 ? static_cast<size_t>(size) : 0);
  while (line.ends_with('\n')) line.pop_back();
  if (line.starts_with(kProgram)) line.erase(0, kProgram.size());
  for (char& c : line) {
    if (c == '\n') c = ' ';
  }
  return line;
}

}  // namespace skopsfs::supervisor
