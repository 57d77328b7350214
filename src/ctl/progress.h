#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "util/mutex.h"

namespace skopsfs::ctl {

// How far a task has got.
struct Advance {
  uint64_t bytes = 0;        // done
  uint64_t known_bytes = 0;  // in the archives whose size is known, done or not
  uint64_t archives = 0;     // done
  uint64_t known_archives = 0;
  uint64_t all_archives = 0;
  double seconds = 0;  // since it began
};

// One line of `width` columns: a bar, how much is done, how fast, and how long it will still take.
// Archives of unknown size are taken to be as large as the known ones.
std::string ProgressLine(const Advance& advance, size_t width);

// Shows on a terminal how far a task has got. Shows nothing where `terminal` is none. Thread-safe.
class Progress {
 public:
  explicit Progress(int terminal);
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Begin(uint64_t archives);
  void Expect(uint64_t bytes);  // in one more archive
  void Add(uint64_t bytes);
  void ArchiveDone();

  // Prints with `print` on the same terminal.
  void Around(const std::function<void()>& print);

  double seconds() const;

 private:
  using Clock = std::chrono::steady_clock;

  void DrawNowAndThen();
  void Draw() REQUIRES(mutex_);
  void Clear() REQUIRES(mutex_);

  const int terminal_;  // -1: none
  const Clock::time_point start_ = Clock::now();
  std::atomic<uint64_t> bytes_ = 0;
  std::atomic<uint64_t> known_bytes_ = 0;
  std::atomic<uint64_t> archives_ = 0;
  std::atomic<uint64_t> known_archives_ = 0;
  std::atomic<uint64_t> all_archives_ = 0;
  util::Mutex mutex_;  // of the terminal; taken last
  Clock::time_point drawn_ GUARDED_BY(mutex_){};
  bool is_shown_ GUARDED_BY(mutex_) = false;
};

}  // namespace skopsfs::ctl
