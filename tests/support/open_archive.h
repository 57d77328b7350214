#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <vector>

#include "archive/archive_file.h"
#include "archive/archive_index.h"
#include "archive/member_reader.h"
#include "util/error.h"

namespace skopsfs::testing {

inline struct stat StatOf(const std::string& path) {
  struct stat st;
  if (stat(path.c_str(), &st) != 0) throw util::ErrnoError("stat " + path);
  return st;
}

inline std::shared_ptr<const archive::ArchiveFile> OpenArchiveFile(const std::string& path) {
  util::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat st;
  if (!fd || fstat(fd.get(), &st) != 0) throw util::ErrnoError("opening " + path);
  return std::make_shared<const archive::ArchiveFile>(std::move(fd), st);
}

// The node at `path` inside the archive; throws std::bad_optional_access where there is none.
inline uint32_t FindNode(const archive::ArchiveIndex& index, std::string_view path) {
  uint32_t node = 0;
  while (!path.empty()) {
    const auto slash = path.find('/');
    node = index.tree().Find(node, path.substr(0, slash)).value();
    path = slash == path.npos ? "" : path.substr(slash + 1);
  }
  return node;
}

inline archive::Extent FindExtent(const zip::ByteSource& source, const archive::ArchiveIndex& index,
                                  std::string_view path) {
  const zip::Entry* entry = index.EntryOf(FindNode(index, path));
  if (entry == nullptr) throw util::Error(EISDIR, "no member");
  return archive::LocateMember(source, index, *entry);
}

inline std::string ReadSome(const zip::ByteSource& source, uint64_t offset, size_t size) {
  std::string bytes(size, '?');
  bytes.resize(source.ReadAt(offset, std::as_writable_bytes(std::span(bytes))));
  return bytes;
}

inline std::string ReadSome(archive::MemberReader& reader, uint64_t offset, size_t size) {
  std::string bytes(size, '?');
  bytes.resize(reader.Read(offset, std::as_writable_bytes(std::span(bytes))));
  return bytes;
}

}  // namespace skopsfs::testing
