#pragma once

#include <functional>
#include <memory>
#include <semaphore>
#include <string>
#include <vector>

#include "archive/archive_file.h"
#include "archive/archive_index.h"
#include "archive/decoder_pool.h"
#include "archive/member_reader.h"
#include "ctl/read_through.h"
#include "util/mutex.h"

namespace skopsfs::ctl {

// The open file of an archive with its index.
struct OpenedArchive {
  std::shared_ptr<const archive::ArchiveFile> file;
  std::unique_ptr<const archive::ArchiveIndex> index;
};

// Opens the file at `path`. If half of its pages are in the page cache already, all of them stay
// there. An archive that cannot be read has a file but no index, and `why` is the reason. `wait` is
// called before its central directory is read. Throws util::Error when it cannot be opened.
OpenedArchive OpenArchiveFile(
    const std::string& path, std::string& why,
    const std::function<void(const zip::DirectoryLocation&)>& wait = [](const auto&) {});

// An archive file, checked without a mount. Checks that Python's zipfile can read it, so that a
// mount can show it; the CRC-32 of every member; and that schema.json can be read and names no
// member that is missing.
class ArchiveTarget : public Target {
 public:
  // Bounds the memory of all archives that are checked at the same time. Thread-safe.
  struct Memory {
    archive::DecoderPool decoders{};
    std::binary_semaphore large_index{1};  // taken from Open() to Close()
    util::Mutex large_schema{};            // held while one is read
  };

  // `memory` must live longer.
  ArchiveTarget(std::string path, uint64_t size, Memory& memory)
      : Target(std::move(path)), size_(size), memory_(memory) {}
  ~ArchiveTarget() override { Release(); }

  std::optional<uint64_t> work() const override { return size_; }
  void Open(const ReportFault& report) override;
  size_t member_count() const override { return members_.size(); }
  uint64_t Read(size_t number, std::span<std::byte> buffer, const ReportFault& report,
                const ReportBytes& advance) override;
  void Close() override;

 private:
  void CheckSchema(archive::MemberReader& reader, const ReportFault& report) const;

  void AcquireLargeIndex(const zip::DirectoryLocation& directory);
  void Release();

  const uint64_t size_;
  Memory& memory_;
  bool is_large_ = false;  // and has its turn
  OpenedArchive archive_;
  std::vector<uint32_t> members_;  // nodes
};

}  // namespace skopsfs::ctl
