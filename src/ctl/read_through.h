#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ctl/progress.h"

namespace skopsfs::ctl {

// What is wrong with an archive, or with a member of one.
struct Fault {
  std::string member = {};  // empty: the archive itself
  std::string reason = {};
};

using ReportFault = std::function<void(Fault)>;
using ReportBytes = std::function<void(uint64_t)>;  // how many more of work()

// An archive to be read as a whole: a file, or a directory of a mount. One thread calls Open(),
// then several call Read(), then one calls Close(). Each throws util::Error when the archive cannot
// be checked.
class Target {
 public:
  explicit Target(std::string path) : path_(std::move(path)) {}
  virtual ~Target() = default;
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  const std::string& path() const { return path_; }

  // How much there is to do. Nothing while that is not known; it is after Open().
  virtual std::optional<uint64_t> work() const = 0;

  // Looks at what is in it.
  virtual void Open(const ReportFault& report) = 0;
  virtual size_t member_count() const = 0;

  // Reads all of member `number` with `buffer`. Returns how many bytes of it were read.
  virtual uint64_t Read(size_t number, std::span<std::byte> buffer, const ReportFault& report,
                        const ReportBytes& advance) = 0;

  virtual void Close() {}

 private:
  const std::string path_;
};

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
