#include "ctl/mounted_target.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/crc32.h"
#include "ctl/files.h"
#include "util/error.h"
#include "util/unique_fd.h"

namespace skopsfs::ctl {

using util::ErrnoError;
using util::Error;

// A file or folder of the mount failed with `error`. The mount knows whether that is the archive's
// fault, and why; else it cannot be told.
void MountedTarget::Failed(const std::string& member, const std::string& file, int error,
                           const ReportFault& report) const {
  auto reason = ReadAttribute(file, "error");
  struct stat st {};
  if (!reason && stat(file.c_str(), &st) == 0 && IsShownUnreadable(st)) reason = kShownUnreadable;
  if (!reason && error == EIO) reason = "it cannot be read, and the mount does not say why";
  if (!reason) throw ErrnoError("it cannot be read", error);
  report({.member = member, .reason = *reason});
}

void MountedTarget::Open(const ReportFault& report) {
  is_open_ = true;
  struct stat st {};
  if (stat(path().c_str(), &st) != 0) throw ErrnoError("it cannot be looked at");
  if (S_ISREG(st.st_mode)) {
    members_.emplace_back();
    bytes_ = static_cast<uint64_t>(st.st_size);
    return;
  }
  try {
    VisitFiles(path(), [&](const std::string& member, const struct stat& found) {
      members_.push_back(member);
      bytes_ += static_cast<uint64_t>(found.st_size);
    });
  } catch (const Error& error) {
    members_.clear();
    bytes_ = 0;
    return Failed("", path(), error.code(), report);
  }
  if (compares_) CheckNames(report);
}

// Looking into by-name has the mount read the schema.
void MountedTarget::CheckNames(const ReportFault& report) const {
  const std::string by_name = JoinPath(path(), "by-name");
  struct stat st {};
  if (lstat(by_name.c_str(), &st) != 0 || ReadAttribute(by_name, "member")) return;
  try {
    ListFolder(by_name);
  } catch (const Error& error) {
    Failed("schema.json", by_name, error.code(), report);
  }
}

uint64_t MountedTarget::Read(size_t number, std::span<std::byte> buffer, const ReportFault& report,
                             const ReportBytes& advance) {
  const std::string& member = members_[number];
  const std::string file = member.empty() ? path() : JoinPath(path(), member);
  uint64_t done = 0;
  const auto failed = [&] {
    Failed(member, file, errno, report);
    return done;
  };
  const util::UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return failed();
  uint32_t crc = 0;
  while (true) {
    const ssize_t got = TEMP_FAILURE_RETRY(read(fd.get(), buffer.data(), buffer.size()));
    if (got < 0) return failed();
    if (got == 0) break;
    const auto size = static_cast<size_t>(got);
    if (compares_) crc = archive::Crc32(crc, buffer.first(size));
    done += size;
    advance(size);
  }
  if (!compares_) return done;
  const auto right = ReadAttribute(file, "crc32");
  if (!right) throw Error(ENODATA, "the mount does not tell the CRC-32 of its members");
  if (*right != fmt::format("{:08x}", crc)) {
    report({.member = member, .reason = fmt::format("bad CRC-32: {:08x}, not {}", crc, *right)});
  }
  return done;
}

}  // namespace skopsfs::ctl
