#pragma once

#include <filesystem>
#include <string>

#include "archive/decoder_pool.h"
#include "catalog/catalog.h"
#include "support/archive_builder.h"
#include "support/open_archive.h"
#include "support/temp_folder.h"

// Files of archives in a source folder, and what a catalogue says of them.
namespace skopsfs::testing {

// An archive whose one member is stored.
inline std::string ArchiveOf(const std::string& data, const std::string& member = "m") {
  return ArchiveBuilder().Add({.name = member, .data = data}).Build();
}

// Puts `bytes` at `path` in one step, as a careful writer does.
inline void ReplaceFile(const std::string& path, const std::string& bytes) {
  WriteFile(path + ".new", bytes);
  std::filesystem::rename(path + ".new", path);
}

// The slot that `path` leads to, looked up component by component, each with one lookup more;
// nullptr when something on the way is not shown.
inline std::shared_ptr<catalog::Slot> LookUp(catalog::Catalog& catalog, std::string_view path) {
  auto slot = catalog.root();
  while (slot && !path.empty()) {
    const auto slash = path.find('/');
    const std::string name(path.substr(0, slash));
    const auto child = catalog.LookupListed(slot, catalog.OpenFolder(*slot), name);
    slot = child ? child->slot : nullptr;
    path = slash == path.npos ? "" : path.substr(slash + 1);
  }
  return slot;
}

// The bytes of a stored member of an open archive.
inline std::string MemberOf(const catalog::OpenArchive& open, const std::string& member = "m") {
  const auto extent = FindExtent(*open.file, *open.index, member);
  std::string bytes(extent.size, '?');
  open.file->ReadAt(extent.offset, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

// Begins to read a stored member of the version of `slot`. `pool` must outlive the catalogue.
inline std::shared_ptr<archive::MemberReader> StartReading(
    catalog::Catalog& catalog, const std::shared_ptr<catalog::Slot>& slot,
    archive::DecoderPool& pool) {
  const auto open = catalog.OpenKnown(slot);
  auto reader =
      catalog.open_archives().Adopt(std::make_unique<archive::MemberReader>(
                                        open.file, FindExtent(*open.file, *open.index, "m"), pool),
                                    *slot);
  return catalog.Read(*slot, open, FindNode(*open.index, "m"), std::move(reader));
}

}  // namespace skopsfs::testing
