// The part of FileSystem that lists directories.

#include <algorithm>

#include "fs/attributes.h"
#include "fs/file_system.h"

namespace skopsfs::fs {
namespace {

using catalog::Slot;
using util::Error;

constexpr unsigned kPositionBits = 25;  // of what a directory of an archive has
constexpr uint64_t kEnd = (uint64_t{1} << kPositionBits) - 1;  // after its last entry
static_assert(archive::MemberTree::kMostNodes + kFirstChild + 1 < kEnd);

}  // namespace

uint32_t FileSystem::Located::Parent() const {
  if (node.is_name()) return node.name() == 0 ? 0 : NodeId::kFirstName + name().parent;
  const uint32_t parent = member().parent;
  const bool is_in_npz = inner && parent == 0;
  return is_in_npz ? NodeId::kFirstName + names->NodeOfNpz(npz) : first() + parent;
}

// The directory that holds it; the root holds itself.
struct stat FileSystem::AttributesOfParent(const Located& directory) {
  const Slot& slot = *directory.slot;
  const NodeId node = directory.node;
  if (!node.is_status() && node.index != 0) return AttributesIn(directory, directory.Parent());
  const Slot& parent = slot.parent && node != kRoot ? *slot.parent : slot;
  return SourceAttributes(parent.path, parent.st);
}

// Gives "." and ".." to `sink`, from `position` on; false when it is full.
bool FileSystem::ReadDots(const Located& directory, uint64_t position, const DirectorySink& sink) {
  DirectoryEntry dot{.name = ".", .entry = {.node = directory.node}, .next = 1};
  dot.entry.attributes = directory.node.is_status() ? StatusFolderAttributes(directory.slot->st)
                                                    : AttributesIn(directory, directory.node.index);
  if (position == 0 && !sink(dot)) return false;
  dot.name = "..";
  dot.next = kFirstChild;
  dot.entry.attributes = AttributesOfParent(directory);
  return position >= kFirstChild || sink(dot);
}

// The listing of a version never changes; that of a folder, and of the root, may.
bool FileSystem::OpenDirectory(NodeId node) {
  if (node.is_status()) return FindDirectory(node, 0), false;
  const auto directory = RetryIfReplaced(
      node, [&] { return LocateDirectory(SlotOf(node), &catalog::Catalog::Open, node); });
  if (directory.slot->is_folder) {
    ReadingFolder(*directory.slot, [&] { return catalog_.OpenFolder(*directory.slot); });
  }
  return !directory.slot->is_folder && node != kRoot;
}

// `version`: of the root of a single archive, the slot whose listing is gone on with; 0: none.
FileSystem::Located FileSystem::FindDirectory(NodeId node, uint64_t version) {
  if (node.is_status()) {
    if (node != kStatusFolderNode) throw Error(ENOTDIR, "a file");
    return {.node = node, .slot = catalog_.root()};
  }
  if (version != 0) {
    const util::MutexLock lock(listings_mutex_);
    for (const auto& [directory, age] : unfinished_listings_) {
      if (directory.slot->id == version) return directory;
    }
  }
  const auto slot = version == 0 ? SlotOf(node) : catalog_.slots().Get(version);
  if (!slot) throw Error(ESTALE, "another version by now");
  auto directory = LocateDirectory(slot, &catalog::Catalog::OpenKnown, node);
  directory.open.file.reset();  // its index says it all
  return directory;
}

// Somebody will ask for the rest of its listing.
void FileSystem::RememberListing(const Located& directory) {
  constexpr size_t kMost = 64;
  const util::MutexLock lock(listings_mutex_);
  std::erase_if(unfinished_listings_,
                [&](const auto& item) { return item.first.slot == directory.slot; });
  unfinished_listings_.emplace_front(directory, 0);
  if (unfinished_listings_.size() > kMost) unfinished_listings_.pop_back();
}

void FileSystem::ReadDirectory(NodeId node, uint64_t position, bool lookup,
                               const DirectorySink& sink) {
  // The root of a single archive is of its present version. A listing that has begun is of one
  // version: its positions say of which. One that has ended needs none.
  const bool is_single = IsSingleRoot(node);
  if (is_single && (position & kEnd) == kEnd) return;
  const auto directory = RetryIfReplaced(
      node, [&] { return FindDirectory(node, is_single ? position >> kPositionBits : 0); });
  const uint64_t base = is_single ? directory.slot->id << kPositionBits : 0;
  const uint64_t end = is_single ? kFirstChild + CountOfChildren(directory) : 0;
  if (is_single) position &= kEnd;
  bool has_taken = false;
  bool is_cut = false;
  const DirectorySink noting = [&](const DirectoryEntry& entry) {
    DirectoryEntry placed = entry;
    placed.next = base | (entry.next == end ? kEnd : entry.next);
    const bool taken = sink(placed);
    has_taken = has_taken || taken;
    is_cut = !taken;
    return taken;
  };
  try {
    if (ReadDots(directory, position, noting)) {
      position = std::max(position, kFirstChild);
      if (directory.node.is_status()) {
        ReadStatusFolder(position, noting);
      } else if (directory.slot->is_folder) {
        ReadFolder(directory, position, lookup, noting);
      } else {
        ReadArchive(directory, position, lookup, noting);
      }
    }
    if (is_single && is_cut) RememberListing(directory);
  } catch (const std::exception&) {
    // What was taken counts, and is to be told. Who asks for the rest is told why not.
    if (!has_taken) throw;
  }
}

std::optional<Entry> FileSystem::EntryOf(const std::shared_ptr<Slot>& folder,
                                         const source::Found& open, const std::string& name,
                                         bool lookup) {
  if (lookup) {
    const auto child = catalog_.LookupListed(folder, open, name);
    return child ? std::optional(SourceEntry(*child)) : std::nullopt;
  }
  const auto st = catalog_.StatChild(*folder, open, name);
  if (!st) return std::nullopt;
  return Entry{.node = {},
               .attributes = SourceAttributes(source::JoinPath(folder->path, name), *st)};
}

void FileSystem::ReadFolder(const Located& directory, uint64_t position, bool lookup,
                            const DirectorySink& sink) {
  // Opened again each time: nobody says when a listing ends, and it must not use up a descriptor.
  const source::Found folder =
      ReadingFolder(*directory.slot, [&] { return catalog_.OpenFolder(*directory.slot); });
  auto names = position > kFirstChild ? listings_.Find(directory.slot->id) : nullptr;
  if (!names) {
    names = listings_.Add(directory.slot->id, ReadingFolder(*directory.slot, [&] {
                            return catalog_.source().List(folder);
                          }));
  }
  const auto first = std::lower_bound(
      names->begin(), names->end(), position,
      [](const NameAt& known, uint64_t wanted) { return known.position < wanted; });
  for (auto at = first; at != names->end(); ++at) {
    DirectoryEntry item{.name = at->name, .entry = {}, .next = at->position + 1};
    try {
      const auto entry = EntryOf(directory.slot, folder, at->name, lookup);
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

// A text is made when it is looked up, so that there is no node yet.
void FileSystem::ReadStatusFolder(uint64_t position, const DirectorySink& sink) {
  for (uint64_t number = position - kFirstChild; number < kStatusFiles.size(); ++number) {
    const auto& file = kStatusFiles[number];
    DirectoryEntry item{.name = file.name, .entry = {}, .is_known = false};
    item.entry.attributes.st_mode = S_IFREG | file.mode;
    item.entry.attributes.st_ino = kStatusFolderNode.number() + number + 1;
    item.next = kFirstChild + number + 1;
    if (!sink(item)) return;
  }
}

// In a directory of an archive.
uint64_t FileSystem::CountOfChildren(const Located& directory) const {
  if (directory.holds_names()) return directory.name().child_count;
  const bool has_names = directory.node.index == 0 && HasNames(directory.archive());
  return uint64_t{directory.member().child_count} + (has_names ? 1 : 0);
}

// Nothing after the last one.
std::optional<DirectoryEntry> FileSystem::ChildAt(const Located& directory, uint64_t number) const {
  if (number >= CountOfChildren(directory)) return std::nullopt;
  if (directory.holds_names()) {
    const auto child = directory.name().first_child + static_cast<uint32_t>(number);
    return DirectoryEntry{.name = directory.names->At(child).name,
                          .entry = EntryIn(directory, NodeId::kFirstName + child)};
  }
  const auto& archive = directory.archive();
  const auto listed = directory.member();
  if (number < listed.child_count) {
    const auto child = listed.first_child + static_cast<uint32_t>(number);
    return DirectoryEntry{.name = archive.tree().Name(archive.node(child)),
                          .entry = EntryIn(directory, directory.first() + child)};
  }
  return DirectoryEntry{.name = kByName, .entry = EntryIn(directory, NodeId::kFirstName)};
}

void FileSystem::ReadArchive(const Located& directory, uint64_t position, bool lookup,
                             const DirectorySink& sink) {
  for (uint64_t number = position - kFirstChild;; ++number) {
    auto item = ChildAt(directory, number);
    if (!item) return;
    item->next = kFirstChild + number + 1;
    // Counted before it is given away: the kernel may forget it at once. The slot of a single
    // archive may have gone since its listing began; then its names alone are told.
    item->is_known = !lookup || catalog_.slots().AddLookups(*directory.slot, 1);
    if (!sink(*item)) {
      if (lookup && item->is_known) Forget(item->entry.node, 1);
      return;
    }
  }
}

}  // namespace skopsfs::fs
