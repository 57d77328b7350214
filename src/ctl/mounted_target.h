#pragma once

#include <string>
#include <vector>

#include "ctl/read_through.h"

namespace skopsfs::ctl {

// An archive, a directory in one, or a single member, as a mount of skopsfs shows it. Each file is
// read through the mount. If asked to, it is compared with the CRC-32 that the mount tells.
class MountedTarget : public Target {
 public:
  MountedTarget(std::string path, bool compares) : Target(std::move(path)), compares_(compares) {}

  std::optional<uint64_t> work() const override {
    return is_open_ ? std::optional(bytes_) : std::nullopt;
  }
  void Open(const ReportFault& report) override;
  size_t member_count() const override { return members_.size(); }
  uint64_t Read(size_t number, std::span<std::byte> buffer, const ReportFault& report,
                const ReportBytes& advance) override;

 private:
  void Failed(const std::string& member, const std::string& file, int error,
              const ReportFault& report) const;
  void CheckNames(const ReportFault& report) const;

  const bool compares_;
  bool is_open_ = false;
  uint64_t bytes_ = 0;
  std::vector<std::string> members_;  // paths below path(); empty: path() itself
};

}  // namespace skopsfs::ctl
