#pragma once

#include <memory>
#include <vector>

#include "archive/archive_file.h"
#include "archive/archive_index.h"
#include "archive/decoder_pool.h"
#include "archive/member_reader.h"
#include "ctl/target.h"

namespace skopsfs::ctl {

// The open file of an archive with its index. What is wrong with the archive itself is an
// archive::... error, see Open().
struct OpenedArchive {
  std::shared_ptr<const archive::ArchiveFile> file;
  std::unique_ptr<const archive::ArchiveIndex> index;
};

// Opens the file at `path`. Its pages are left in the page cache if half of them are there already.
// Throws util::Error when it cannot be opened; an archive that cannot be read has a file and no
// index, and `why` is the reason.
OpenedArchive OpenArchiveFile(const std::string& path, std::string& why);

// The members of an archive, in the order of the file.
std::vector<uint32_t> MembersInOrder(const archive::ArchiveIndex& index);

// An archive file, checked without a mount: what a mount could show of it, which is what Python's
// zipfile can read; the CRC-32 of every member; and that schema.json can be read and names no
// member that is not there.
class ArchiveTarget : public Target {
 public:
  // `pool` must live longer.
  ArchiveTarget(std::string path, uint64_t size, archive::DecoderPool& pool)
      : Target(std::move(path)), size_(size), pool_(pool) {}

  std::optional<uint64_t> work() const override { return size_; }
  void Open(const ReportFault& report) override;
  size_t member_count() const override { return members_.size(); }
  uint64_t Read(size_t number, std::span<std::byte> buffer, const ReportFault& report,
                const ReportBytes& advance) override;
  void Close() override;

 private:
  void CheckSchema(archive::MemberReader& reader, const ReportFault& report) const;

  const uint64_t size_;
  archive::DecoderPool& pool_;
  OpenedArchive archive_;
  std::vector<uint32_t> members_;  // nodes
};

}  // namespace skopsfs::ctl
