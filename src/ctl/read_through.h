#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ctl/progress.h"
#include "ctl/target.h"

namespace skopsfs::ctl {

// The result for one archive.
struct Report {
  static constexpr size_t kMostFaults = 1000;  // that are kept

  std::string path = {};
  uint64_t members = 0;
  uint64_t bytes = 0;              // of members that were read
  std::vector<Fault> faults = {};  // the first ones
  uint64_t fault_count = 0;
  std::string unchecked = {};  // why it could not be checked; empty when it could

  bool is_right() const { return fault_count == 0 && unchecked.empty(); }
};

// Reads all of the targets with `threads` threads, which share archives and the members of each.
// `take` gets the reports one at a time, in the order of the targets, as soon as the earlier ones
// are done. No more archives are open at the same time than there are threads. Each thread has a
// buffer of 1 MiB.
void ReadThrough(std::vector<std::unique_ptr<Target>> targets, unsigned threads, Progress& progress,
                 const std::function<void(const Report&)>& take);

}  // namespace skopsfs::ctl
