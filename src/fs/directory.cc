// The part of FileSystem that lists directories.

#include <algorithm>
#include <tuple>

#include "fs/attributes.h"
#include "fs/file_system.h"
#include "util/error.h"
#include "util/hash.h"

namespace skopsfs::fs {
namespace {

using catalog::Slot;
using util::Error;

// Positions of the entries of every directory: ".", "..", then its children.
constexpr uint64_t kFirstChild = 2;

struct stat AttributesOf(const DirectoryHandle& handle) {
  const Slot& slot = *handle.slot;
  const NodeId node = handle.node;
  if (node.is_status()) return StatusAttributes(node, slot.st);
  if (node.index == 0) return SourceAttributes(slot.path, slot.st);
  if (node.is_name()) return NameFolderAttributes(slot, node.index);
  return MemberAttributes(slot, *handle.archive, handle.directory, handle.first);
}

// The directory that holds the handle's; the root holds itself.
struct stat AttributesOfParent(const DirectoryHandle& handle) {
  const Slot& slot = *handle.slot;
  const NodeId node = handle.node;
  if (node.is_status()) return SourceAttributes(slot.path, slot.st);
  if (node.index == 0) {
    const Slot& parent = node == kRoot || !slot.parent ? slot : *slot.parent;
    return SourceAttributes(parent.path, parent.st);
  }
  if (node.is_name()) {
    if (node.name() == 0) return SourceAttributes(slot.path, slot.st);
    return NameFolderAttributes(slot, NodeId::kFirstName + handle.names->At(node.name()).parent);
  }
  const uint32_t parent = handle.archive->node(handle.directory).parent;
  if (parent != 0) return MemberAttributes(slot, *handle.archive, parent, handle.first);
  if (!node.is_inner()) return SourceAttributes(slot.path, slot.st);
  return NameFolderAttributes(slot, NodeId::kFirstName + handle.names->NodeOfNpz(node.npz()));
}

// Gives "." and ".." to `sink`, from `position` on; false when it is full.
bool ReadDots(const DirectoryHandle& handle, uint64_t position, const DirectorySink& sink) {
  DirectoryEntry dot{.name = ".", .entry = {.node = handle.node}, .next = 1};
  dot.entry.attributes = AttributesOf(handle);
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
    const uint64_t hash = util::Hash().Add(name).value();
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
  if (node.is_status()) return OpenInheritedDirectory(node);
  return Anew(node, [&] { return MakeHandle(node, SlotOf(node), &catalog::Catalog::Open); });
}

std::unique_ptr<DirectoryHandle> FileSystem::OpenInheritedDirectory(NodeId node) {
  if (node.is_status()) {
    if (node != NodeOf(StatusNode::kFolder)) throw Error(ENOTDIR, "a file");
    auto handle = std::make_unique<DirectoryHandle>();
    handle->node = node;
    handle->slot = catalog_.root();
    return handle;
  }
  return MakeHandle(node, SlotOf(node), &catalog::Catalog::OpenInherited);
}

std::unique_ptr<DirectoryHandle> FileSystem::MakeHandle(NodeId node, std::shared_ptr<Slot> slot,
                                                        OpenCall open) {
  auto handle = std::make_unique<DirectoryHandle>();
  handle->node = node;
  handle->slot = std::move(slot);
  if (handle->slot->is_folder) {
    handle->children = AtPositions(ReadingFolder(
        *handle->slot, [&] { return catalog::Source::List(catalog_.OpenFolder(*handle->slot)); }));
    return handle;
  }
  if (node.is_name()) {
    auto names = LocateNames(node, open);
    const auto kind = names.names->At(node.name()).kind;
    if (kind == by_name::NameTree::Kind::kLink) throw Error(ENOTDIR, "a symbolic link");
    if (kind == by_name::NameTree::Kind::kNpz) {
      Fill(*handle, LocateNpz(names, node.name()));
    } else {
      handle->archive = names.open.index;
      handle->kept = catalog_.Keep(*handle->slot, *names.open.file);
    }
    handle->names = std::move(names.names);
  } else {
    Fill(*handle, LocateIn(handle->slot, (catalog_.*open)(handle->slot), node));
  }
  return handle;
}

void FileSystem::Fill(DirectoryHandle& handle, const Located& located) {
  handle.archive = located.inner ? std::shared_ptr<const archive::ArchiveIndex>(
                                       located.inner, &located.inner->index())
                                 : located.open.index;
  handle.first = located.first();
  handle.directory = located.index;
  handle.names = located.names;
  handle.kept = catalog_.Keep(*handle.slot, *located.open.file);
}

void FileSystem::ReadDirectory(DirectoryHandle& handle, uint64_t position, bool lookup,
                               const DirectorySink& sink) {
  bool has_taken = false;
  const DirectorySink noting = [&](const DirectoryEntry& entry) {
    const bool taken = sink(entry);
    has_taken = has_taken || taken;
    return taken;
  };
  try {
    ReadEntries(handle, position, lookup, noting);
  } catch (const std::exception&) {
    // What was taken counts, and is to be told. Who asks for the rest is told why not.
    if (!has_taken) throw;
  }
}

void FileSystem::ReadEntries(DirectoryHandle& handle, uint64_t position, bool lookup,
                             const DirectorySink& sink) {
  if (!ReadDots(handle, position, sink)) return;
  position = std::max(position, kFirstChild);
  if (handle.node.is_status()) {
    ReadStatusFolder(position, sink);
  } else if (handle.slot->is_folder) {
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
  const catalog::Found folder =
      ReadingFolder(*handle.slot, [&] { return catalog_.OpenFolder(*handle.slot); });
  const auto first = std::lower_bound(
      handle.children.begin(), handle.children.end(), position,
      [](const NameAt& known, uint64_t wanted) { return known.position < wanted; });
  for (auto at = first; at != handle.children.end(); ++at) {
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

// The root is never forgotten, so nothing is counted.
void FileSystem::ReadStatusFolder(uint64_t position, const DirectorySink& sink) {
  for (uint64_t number = position - kFirstChild; number < kStatusFiles.size(); ++number) {
    const auto& file = kStatusFiles[number];
    const DirectoryEntry item{.name = file.name,
                              .entry = StatusEntry(NodeOf(file.node)),
                              .next = kFirstChild + number + 1};
    if (!sink(item)) return;
  }
}

// Nothing after the last one.
std::optional<DirectoryEntry> FileSystem::ChildAt(const DirectoryHandle& handle, uint64_t number) {
  const Slot& slot = *handle.slot;
  const auto& archive = *handle.archive;
  if (handle.names && handle.first == 0) {
    const auto folder = handle.names->At(handle.node.name());
    if (number >= folder.child_count) return std::nullopt;
    const auto child = folder.first_child + static_cast<uint32_t>(number);
    return DirectoryEntry{.name = handle.names->At(child).name,
                          .entry = NameEntry(slot, archive, *handle.names, child)};
  }
  const auto directory = archive.node(handle.directory);
  if (number < directory.child_count) {
    const auto child = directory.first_child + static_cast<uint32_t>(number);
    return DirectoryEntry{.name = archive.tree().Name(archive.node(child)),
                          .entry = MemberEntry(slot, archive, handle.first, child, handle.node)};
  }
  if (number > directory.child_count || handle.node.index != 0 || !HasNames(archive)) {
    return std::nullopt;
  }
  return DirectoryEntry{.name = kByName, .entry = ByNameEntry(slot, handle.node)};
}

void FileSystem::ReadArchive(DirectoryHandle& handle, uint64_t position, bool lookup,
                             const DirectorySink& sink) {
  for (uint64_t number = position - kFirstChild;; ++number) {
    auto item = ChildAt(handle, number);
    if (!item) return;
    item->next = kFirstChild + number + 1;
    // Counted before it is given away: the kernel may forget it at once. The slot of a single
    // archive may have gone since it was opened; then its names alone are told.
    item->is_known = !lookup || catalog_.AddLookups(*handle.slot, 1);
    if (!sink(*item)) {
      if (lookup && item->is_known) Forget(item->entry.node, 1);
      return;
    }
  }
}

}  // namespace skopsfs::fs
