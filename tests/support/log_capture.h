#pragma once

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "util/log.h"

namespace skopsfs::testing {

// Takes what is logged while it lives. One at a time: the log is the process's.
class LogCapture {
 public:
  struct Line {
    util::LogLevel level;
    std::string text;
  };

  LogCapture() {
    util::SetLogSink([this](util::LogLevel level, const std::string& text) {
      const std::lock_guard lock(mutex_);
      lines_.push_back({level, text});
      return true;
    });
  }
  ~LogCapture() { util::SetLogSink(nullptr); }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;

  std::vector<Line> lines() const {
    const std::lock_guard lock(mutex_);
    return lines_;
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> texts;
    for (auto& line : lines()) texts.push_back(std::move(line.text));
    return texts;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Line> lines_;
};

}  // namespace skopsfs::testing
