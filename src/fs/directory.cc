// The part of FileSystem that lists directories.

#include <algorithm>

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
std::map<uint64_t, std::string> AtPositions(std::vector<std::string> names) {
  constexpr uint64_t kMost = INT64_MAX / 2;
  std::sort(names.begin(), names.end());  // for the same order among equal hashes
  std::map<uint64_t, std::string> found;
  for (auto& name : names) {
    uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    uint64_t position = kFirstChild + hash % kMost;
    while (!found.try_emplace(position, std::move(name)).second) ++position;
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

void FileSystem::ReadFolder(DirectoryHandle& handle, uint64_t position, bool lookup,
                            const DirectorySink& sink) {
  // Opened again each time, because open directories of the mount must not use up descriptors.
  const catalog::Found folder = catalog_.OpenFolder(*handle.slot);
  for (auto at = handle.names.lower_bound(position); at != handle.names.end(); ++at) {
    const std::string& name = at->second;
    DirectoryEntry item{.name = name, .entry = {}, .next = at->first + 1};
    std::optional<catalog::Found> found;
    try {
      found = catalog_.Examine(*handle.slot, folder, name);
    } catch (const Error&) {
      // The lookup of this name will say why.
      item.is_known = false;
      item.entry.attributes.st_ino = at->first;
      if (!sink(item)) return;
      continue;
    }
    if (!found) continue;
    if (!lookup) {
      item.entry.attributes =
          SourceAttributes(catalog::JoinPath(handle.slot->path, name), found->st);
      if (!sink(item)) return;
      continue;
    }
    item.entry = SourceEntry(*catalog_.Acquire(handle.slot, name, *found), found->st);
    if (!sink(item)) {
      Forget(item.entry.node, 1);
      return;
    }
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
