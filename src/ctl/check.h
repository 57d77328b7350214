#pragma once

#include <string>
#include <vector>

namespace skopsfs::ctl {

struct CheckOptions {
  std::vector<std::string> paths;
  unsigned threads = 0;  // 0: as many as there are processors
  bool json = false;
};

// Reads all of each archive and prints what is wrong with it on stdout. Returns the exit code, see
// app.h.
int Check(const CheckOptions& options);

// Reads what lies on mounts of skopsfs, so that its pages are in the page cache.
int Warm(const CheckOptions& options);

}  // namespace skopsfs::ctl
