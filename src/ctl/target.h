#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

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

}  // namespace skopsfs::ctl
