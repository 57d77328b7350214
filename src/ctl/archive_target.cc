#include "ctl/archive_target.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <optional>
#include <utility>

#include "by_name/name_tree.h"
#include "catalog/schema.h"
#include "ctl/text.h"
#include "util/error.h"

namespace skopsfs::ctl {
namespace {

using util::Error;

constexpr uint64_t kLargeIndex = uint64_t{16} << 20;  // bytes of a central directory
constexpr size_t kMostMissing = 20;                   // members that a schema names, an archive

bool IsMostlyCached(int fd, uint64_t size) {
  return archive::BytesInPageCache(fd, 0, size).value_or(0) > size / 2;
}

}  // namespace

OpenedArchive OpenArchiveFile(const std::string& path, std::string& why,
                              const std::function<void(const zip::DirectoryLocation&)>& wait) {
  util::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) throw util::ErrnoError("it cannot be opened");
  struct stat st {};
  if (fstat(fd.get(), &st) != 0) throw util::ErrnoError("it cannot be looked at");
  if (!S_ISREG(st.st_mode)) throw Error(EINVAL, "it is neither a file nor a folder");
  const bool keep = IsMostlyCached(fd.get(), static_cast<uint64_t>(st.st_size));
  OpenedArchive opened;
  opened.file = std::make_shared<const archive::ArchiveFile>(std::move(fd), st, keep);
  if (opened.file->IsBeingWritten()) {
    throw Error(EBUSY, "somebody has it open for writing; try again when that is done");
  }
  try {
    const auto directory = zip::FindCentralDirectory(*opened.file);
    wait(directory);
    opened.index = std::make_unique<const archive::ArchiveIndex>(*opened.file, directory, path);
  } catch (const Error& error) {
    why = error.what();
  }
  return opened;
}

// Who checks the one that has its turn needs nobody else for it, so the wait ends.
void ArchiveTarget::AcquireLargeIndex(const zip::DirectoryLocation& directory) {
  if (directory.size <= kLargeIndex) return;
  memory_.large_index.acquire();
  is_large_ = true;
}

void ArchiveTarget::Release() {
  archive_ = {};
  if (std::exchange(is_large_, false)) memory_.large_index.release();
}

void ArchiveTarget::Open(const ReportFault& report) {
  std::string why;
  archive_ = OpenArchiveFile(path(), why, [&](const auto& where) { AcquireLargeIndex(where); });
  if (!archive_.index) return report({.member = "", .reason = why});
  members_ = archive_.index->MembersInFileOrder();
  // Made once more, to be told what is not in it.
  const archive::MemberTree shown(
      archive_.index->directory(), [&](std::string_view name, std::string_view reason) {
        report({.member = std::string(name),
                .reason = fmt::format("a mount does not show it: {}", reason)});
      });
}

uint64_t ArchiveTarget::Read(size_t number, std::span<std::byte> buffer, const ReportFault& report,
                             const ReportBytes& advance) {
  const auto& index = *archive_.index;
  const uint32_t node = members_[number];
  const auto& entry = *index.EntryOf(node);
  uint64_t done = 0;
  uint64_t advanced = 0;
  try {
    archive::MemberReader reader(archive_.file, archive::LocateMember(*archive_.file, index, entry),
                                 memory_.decoders);
    while (done < entry.size) {
      done += reader.Read(done, buffer);
      const double part = static_cast<double>(done) / static_cast<double>(entry.size);
      const auto place = static_cast<uint64_t>(part * static_cast<double>(entry.compressed_size));
      advance(place - advanced);
      advanced = place;
    }
    if (node == catalog::SchemaOf(index)) {
      std::optional<util::MutexLock<util::Mutex>> turn;
      if (entry.size > catalog::kLargeSchema) turn.emplace(memory_.large_schema);
      CheckSchema(reader, report);
    }
  } catch (const Error& error) {
    report({.member = index.PathOf(node), .reason = error.what()});
  }
  return done;
}

void ArchiveTarget::CheckSchema(archive::MemberReader& reader, const ReportFault& report) const {
  std::vector<std::string> missing;
  size_t missing_count = 0;
  const auto objects = catalog::ReadObjectsOf(reader, *archive_.index, [&](std::string_view name) {
    if (++missing_count <= kMostMissing) missing.emplace_back(name);
  });
  const by_name::NameTree names(objects);
  for (const auto& name : missing) {
    report({.member = "schema.json",
            .reason = fmt::format("it names {}, which is not there", NameText(name))});
  }
  if (missing_count > kMostMissing) {
    report({.member = "schema.json",
            .reason =
                fmt::format("it names {} more that are not there", missing_count - kMostMissing)});
  }
}

void ArchiveTarget::Close() {
  if (!archive_.file) return;
  const bool is_current = archive_.file->IsCurrent();
  Release();
  if (!is_current) throw Error(EBUSY, "it was changed meanwhile; try again");
}

}  // namespace skopsfs::ctl
