// The part of FileSystem that lists directories.

#include <algorithm>
#include <tuple>

#include "fs/attributes.h"
#include "fs/file_system.h"
#include "util/error.h"

namespace skopsfs::fs {
namespace {

using catalog::Slot;
using util::Error;

// Positions of the entries of every directory: ".", "..", then its children.
constexpr uint64_t kFirstChild = 2;

struct stat AttributesOf(const Slot& slot, const archive::ArchiveIndex* archive, uint32_t index) {
  return index == 0 ? SourceAttributes(slot.path, slot.st)
                    : MemberAttributes(slot, *archive, index);
}

// The directory that holds the handle's; the root holds itself.
struct stat AttributesOfParent(const DirectoryHandle& handle) {
  const Slot& slot = *handle.slot;
  if (handle.archive && handle.node.index != 0) {
    const auto& archive = *handle.archive;
    return AttributesOf(slot, &archive, archive.node(handle.node.index).parent);
  }
  const bool is_root = handle.node == kRoot || !slot.parent;
  return AttributesOf(is_root ? slot : *slot.parent, nullptr, 0);
}

// Gives "." and ".." to `sink`, from `position` on; false when it is full.
bool ReadDots(const DirectoryHandle& handle, uint64_t position, const DirectorySink& sink) {
  DirectoryEntry dot{.name = ".", .entry = {.node = handle.node}, .next = 1};
  dot.entry.attributes = AttributesOf(*handle.slot, handle.archive.get(), handle.node.index);
  if (position == 0 && !sink(dot)) return false;
  dot.name = "..";
  dot.next = kFirstChild;
  dot.entry.attributes = AttributesOfParent(handle);
  return position >= kFirstChild || sink(dot);
}

// Names of a folder at positions that are theirs whatever other names come and go, so that a
// listing can be gone on with by another process: a hash of the name.
std::vector<NameAt> AtPositions(std::vector<std::string> names) {
  constexpr uint64_t kMost = INT64_MAX / 2;
  std::vector<NameAt> found;
  found.reserve(names.size());
  for (auto& name : names) {
    uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    found.push_back({kFirstChild + hash % kMost, std::move(name)});
  }
  std::sort(found.begin(), found.end(), [](const NameAt& a, const NameAt& b) {
    return std::tie(a.position, a.name) < std::tie(b.position, b.name);
  });
  for (size_t i = 1; i < found.size(); ++i) {
    found[i].position = std::max(found[i].position, found[i - 1].position + 1);
  }
  return found;
}

}  // namespace

std::unique_ptr<DirectoryHandle> FileSystem::OpenDirectory(NodeId node) {
  return MakeHandle(node, SlotOf(node), &catalog::Catalog::Open);
}

std::unique_ptr<DirectoryHandle> FileSystem::OpenInheritedDirectory(NodeId node) {
  return MakeHandle(node, SlotOf(node), &catalog::Catalog::OpenInherited);
}

std::unique_ptr<DirectoryHandle> FileSystem::MakeHandle(NodeId node, std::shared_ptr<Slot> slot,
                                                        OpenCall open) {
  auto handle = std::make_unique<DirectoryHandle>();
  handle->node = node;
  handle->slot = std::move(slot);
  if (handle->slot->is_folder) {
    handle->names = AtPositions(catalog::Source::List(catalog_.OpenFolder(*handle->slot)));
  } else {
    const auto archive = (catalog_.*open)(handle->slot);
    if (node.index >= archive.index->node_count()) throw Error(ESTALE, "no such node");
    handle->archive = archive.index;
    handle->kept = catalog_.Keep(*handle->slot, *archive.file);
  }
  return handle;
}

void FileSystem::ReadDirectory(DirectoryHandle& handle, uint64_t position, bool lookup,
                               const DirectorySink& sink) {
  if (!ReadDots(handle, position, sink)) return;
  position = std::max(position, kFirstChild);
  if (handle.slot->is_folder) {
    ReadFolder(handle, position, lookup, sink);
  } else {
    ReadArchive(handle, position, lookup, sink);
  }
}

std::optional<Entry> FileSystem::EntryOf(const std::shared_ptr<Slot>& folder,
                                         const catalog::Found& open, const std::string& name,
                                         bool lookup) {
  if (lookup) {
    const auto found = catalog_.Examine(*folder, open, name);
    if (!found) return std::nullopt;
    return SourceEntry(*catalog_.Acquire(folder, name, *found), found->st);
  }
  const auto st = catalog_.Glance(*folder, open, name);
  if (!st) return std::nullopt;
  return Entry{.node = {},
               .attributes = SourceAttributes(catalog::JoinPath(folder->path, name), *st)};
}

void FileSystem::ReadFolder(DirectoryHandle& handle, uint64_t position, bool lookup,
                            const DirectorySink& sink) {
  // Opened again each time, because open directories of the mount must not use up descriptors.
  const catalog::Found folder = catalog_.OpenFolder(*handle.slot);
  const auto first = std::lower_bound(
      handle.names.begin(), handle.names.end(), position,
      [](const NameAt& known, uint64_t wanted) { return known.position < wanted; });
  for (auto at = first; at != handle.names.end(); ++at) {
    DirectoryEntry item{.name = at->name, .entry = {}, .next = at->position + 1};
    try {
      const auto entry = EntryOf(handle.slot, folder, at->name, lookup);
      if (!entry) continue;
      item.entry = *entry;
    } catch (const Error&) {
      // The lookup of this name will say why.
      item.is_known = false;
      item.entry.attributes.st_ino = at->position;
    }
    if (sink(item)) continue;
    if (lookup && item.is_known) Forget(item.entry.node, 1);
    return;
  }
}

void FileSystem::ReadArchive(DirectoryHandle& handle, uint64_t position, bool lookup,
                             const DirectorySink& sink) {
  const auto& index = *handle.archive;
  const auto directory = index.node(handle.node.index);
  for (uint64_t i = position - kFirstChild; i < directory.child_count; ++i) {
    const auto child = directory.first_child + static_cast<uint32_t>(i);
    const DirectoryEntry item{.name = index.tree().Name(index.node(child)),
                              .entry = MemberEntry(*handle.slot, index, child, handle.node),
                              .next = kFirstChild + i + 1};
    // Counted before it is given away: the kernel may forget it at once.
    if (lookup && !catalog_.AddLookups(*handle.slot, 1)) {
      throw Error(ESTALE, "another version by now");
    }
    if (!sink(item)) {
      if (lookup) Forget(item.entry.node, 1);
      return;
    }
  }
}

}  // namespace skopsfs::fs
