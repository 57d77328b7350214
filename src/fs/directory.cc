// The part of FileSystem that lists directories.

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

}  // namespace

std::unique_ptr<DirectoryHandle> FileSystem::OpenDirectory(NodeId node) {
  auto handle = std::make_unique<DirectoryHandle>();
  handle->node = node;
  handle->slot = SlotOf(node);
  if (handle->slot->is_folder) {
    handle->names = catalog::Source::List(catalog_.OpenFolder(*handle->slot));
  } else {
    handle->archive = catalog_.Open(handle->slot).index;
    if (node.index >= handle->archive->node_count()) throw Error(ESTALE, "no such node");
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
  for (size_t i = position - kFirstChild; i < handle.names.size(); ++i) {
    const std::string& name = handle.names[i];
    std::optional<catalog::Found> found;
    try {
      found = catalog_.Examine(*handle.slot, folder, name);
    } catch (const Error&) {
      continue;  // the lookup of this name will say why; the others are listed all the same
    }
    if (!found) continue;
    DirectoryEntry item{.name = name, .entry = {}, .next = kFirstChild + i + 1};
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
  const auto& directory = index.node(handle.node.index);
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
