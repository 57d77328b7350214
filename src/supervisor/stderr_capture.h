#pragma once

#include <string>

#include "util/unique_fd.h"

namespace skopsfs::supervisor {

// Takes what this process and its children write to standard error for as long as it lives:
// fusermount3 says there why it would not mount. Only while there is one thread.
class StderrCapture {
 public:
  StderrCapture();
  ~StderrCapture();
  StderrCapture(const StderrCapture&) = delete;
  StderrCapture& operator=(const StderrCapture&) = delete;

  // What was written so far, as one line without the program's name.
  std::string Line() const;

 private:
  util::UniqueFd original_;
  util::UniqueFd taken_;
};

}  // namespace skopsfs::supervisor
