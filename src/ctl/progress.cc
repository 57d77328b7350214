#include "ctl/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "ctl/text.h"

namespace skopsfs::ctl {
namespace {

constexpr auto kBetweenDraws = std::chrono::milliseconds(100);
constexpr std::string_view kClearLine = "\r\033[K";

size_t WidthOf(int terminal) {
  constexpr size_t kUsual = 80;
  winsize size{};
  if (ioctl(terminal, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsual;
  return size.ws_col;
}

void Write(int terminal, std::string_view text) {
  // A bar that cannot be drawn is no reason to end.
  [[maybe_unused]] const auto written = write(terminal, text.data(), text.size());
}

}  // namespace

std::string ProgressLine(const Advance& advance, size_t width) {
  constexpr size_t kLeast = 10;
  constexpr size_t kMost = 40;
  auto total = static_cast<double>(advance.known_bytes);
  if (advance.known_archives > 0 && advance.known_archives < advance.all_archives) {
    total *=
        static_cast<double>(advance.all_archives) / static_cast<double>(advance.known_archives);
  }
  const auto done = static_cast<double>(advance.bytes);
  const double part = total > 0 ? std::min(done / total, 1.0) : 0;
  const double speed = advance.seconds > 0 ? done / advance.seconds : 0;
  std::string text = fmt::format(" {:3.0f} %  {}/{} archives  {}/s", 100 * part, advance.archives,
                                 advance.all_archives, SizeText(static_cast<uint64_t>(speed)));
  // What is left can be told when something has been done.
  if (speed > 0 && total > done) {
    constexpr double kMostSeconds = 1e9;
    const double left = std::min((total - done) / speed, kMostSeconds);
    text += "  ETA " + DurationText(static_cast<uint64_t>(std::llround(left)));
  }
  if (width < text.size() + kLeast + 2) return text.substr(1, width > 0 ? width - 1 : 0);
  const size_t bar = std::min(width - text.size() - 3, kMost);
  const auto full = static_cast<size_t>(part * static_cast<double>(bar));
  return "[" + std::string(full, '#') + std::string(bar - full, '.') + "]" + text;
}

Progress::Progress(int terminal) : terminal_(isatty(terminal) == 1 ? terminal : -1) {}

void Progress::Begin(uint64_t archives) { all_archives_ = archives; }

void Progress::Expect(uint64_t bytes) {
  known_bytes_ += bytes;
  ++known_archives_;
}

void Progress::Add(uint64_t bytes) {
  bytes_ += bytes;
  DrawNowAndThen();
}

void Progress::ArchiveDone() {
  ++archives_;
  DrawNowAndThen();
}

void Progress::Around(const std::function<void()>& print) {
  const util::MutexLock lock(mutex_);
  Clear();
  print();
}

double Progress::seconds() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

void Progress::DrawNowAndThen() {
  if (terminal_ < 0 || !mutex_.try_lock()) return;
  const util::MutexLock lock(mutex_, std::adopt_lock);
  if (Clock::now() - drawn_ < kBetweenDraws) return;
  drawn_ = Clock::now();
  Draw();
}

void Progress::Draw() {
  const Advance advance{bytes_, known_bytes_, archives_, known_archives_, all_archives_, seconds()};
  Write(terminal_, std::string(kClearLine) + ProgressLine(advance, WidthOf(terminal_)));
  is_shown_ = true;
}

void Progress::Clear() {
  if (is_shown_) Write(terminal_, kClearLine);
  is_shown_ = false;
}

}  // namespace skopsfs::ctl
