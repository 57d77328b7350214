#include "fs/file_system.h"

#include <climits>

#include "fs/attributes.h"
#include "util/effort.h"
#include "util/error.h"
#include "util/log.h"
#include "util/progress.h"

namespace skopsfs::fs {

static_assert(catalog::SlotStore::kMostIds < uint64_t{1} << (64 - NodeId::kIndexBits));
namespace {

using catalog::Slot;
using util::Effort;
using util::Error;
using util::Quoted;

constexpr size_t kRememberedFailures = 1000;  // of members, an archive version

catalog::OpenArchives::Budget Counting(catalog::OpenArchives::Budget budget,
                                       metrics::Counters& counters) {
  budget.counters = &counters;
  return budget;
}

void RefuseWrongMember(Slot& slot, uint32_t index) {
  const std::lock_guard lock(slot.mutex);
  if (slot.wrong_members.contains(index)) throw Error(EIO, "bad CRC-32");
}

}  // namespace

FileSystem::FileSystem(catalog::Source source, const Options& options,
                       std::unique_ptr<catalog::SlotStore> store, catalog::DescriptorKeeper* keeper)
    : options_(options),
      own_counters_(options.counters != nullptr ? nullptr : std::make_unique<metrics::Counters>()),
      counters_(options.counters != nullptr ? *options.counters : *own_counters_),
      catalog_(std::move(source), Counting(options.budget, counters_), std::move(store), keeper),
      decoders_(options.decoder_bytes) {}

bool FileSystem::IsSingleRoot(const NodeId& node) const {
  return node == kRoot && catalog_.source().is_single_archive();
}

// The slot that a node is of; for a source that is one archive the root is that of its present
// version.
std::shared_ptr<Slot> FileSystem::SlotOf(NodeId node) {
  if (IsSingleRoot(node)) return catalog_.SingleArchive();
  auto slot = catalog_.Get(node.slot);
  if (!slot) throw Error(ESTALE, "no such node");
  return slot;
}

FileSystem::Located FileSystem::Locate(NodeId node) {
  auto slot = SlotOf(node);
  if (slot->is_folder) throw Error(EISDIR, "a folder");
  auto open = catalog_.Open(slot);
  return LocateIn(std::move(slot), std::move(open), node);
}

FileSystem::Located FileSystem::LocateIn(std::shared_ptr<Slot> slot, catalog::OpenArchive open,
                                         NodeId node) {
  Located located;
  located.slot = std::move(slot);
  located.open = std::move(open);
  located.index = node.index;
  if (node.is_inner()) {
    located.names = NamesOf(*located.slot, located.open);
    located.npz = node.npz();
    located.index = node.inner();
    located.inner = InnerOf(*located.slot, located.open, *located.names, located.npz);
  }
  const bool is_there = located.index < located.archive().node_count();
  if (!is_there || (located.inner && located.index == 0)) throw Error(ESTALE, "no such node");
  return located;
}

Entry FileSystem::SourceEntry(const Slot& slot, const struct stat& st) const {
  return {.node = {.slot = slot.id, .index = 0},
          .attributes = SourceAttributes(slot.path, st),
          .entry_timeout = options_.revalidate,
          .attribute_timeout = options_.revalidate};
}

Entry FileSystem::MemberEntry(const Slot& slot, const archive::ArchiveIndex& archive,
                              uint32_t first, uint32_t child, NodeId parent) const {
  // Inside a version nothing ever changes. But the kernel never looks the root up again, so what
  // is directly below it must be asked for when another version may have come.
  return {.node = {.slot = slot.id, .index = first + child},
          .attributes = MemberAttributes(slot, archive, child, first),
          .entry_timeout = IsSingleRoot(parent) ? options_.revalidate : kForever,
          .attribute_timeout = kForever};
}

std::optional<Entry> FileSystem::LookupInFolder(const std::shared_ptr<Slot>& folder,
                                                const std::string& name) {
  try {
    const auto found = catalog_.Examine(*folder, catalog_.OpenFolder(*folder), name);
    if (!found) {
      catalog_.Vanished(*folder, name);
      return std::nullopt;
    }
    return SourceEntry(*catalog_.Acquire(folder, name, *found), found->st);
  } catch (const Error& error) {
    if (error.code() != ESTALE) {
      util::LogError("{}: cannot be looked up: {}", Quoted(catalog::JoinPath(folder->path, name)),
                     error.what());
    }
    throw;
  }
}

std::optional<Entry> FileSystem::Lookup(NodeId parent, const std::string& name) {
  if (name.size() > NAME_MAX) throw Error(ENAMETOOLONG, "a name is too long");
  if (parent == NodeOf(StatusNode::kFolder)) {
    const auto node = FindStatusFile(name);
    return node ? std::optional(StatusEntry(*node)) : std::nullopt;
  }
  if (parent == kRoot && name == kStatusFolder && !SourceHasStatusFolder()) {
    return StatusEntry(NodeOf(StatusNode::kFolder));
  }
  return Anew(parent, [&] { return LookupInSource(parent, name); });
}

std::optional<Entry> FileSystem::LookupInSource(NodeId parent, const std::string& name) {
  const auto slot = SlotOf(parent);
  if (slot->is_folder) return LookupInFolder(slot, name);
  if (parent.is_name()) return LookupName(parent, name);
  const auto located = Locate(parent);
  const auto& archive = located.archive();
  const auto child = archive.tree().Find(located.index, name);
  const bool is_by_name = !child && parent.index == 0 && name == kByName && HasNames(archive);
  if (!child && !is_by_name) return std::nullopt;
  // A single archive's slot may just have been replaced and forgotten.
  if (!catalog_.AddLookups(*located.slot, 1)) throw Error(ESTALE, "another version by now");
  return is_by_name ? ByNameEntry(*located.slot, parent)
                    : MemberEntry(*located.slot, archive, located.first(), *child, parent);
}

Timeout FileSystem::NegativeTimeout(NodeId parent) {
  const bool inside_a_version = parent != kRoot && !SlotOf(parent)->is_folder;
  return inside_a_version ? kForever : options_.revalidate;
}

void FileSystem::Forget(NodeId node, uint64_t count) noexcept { catalog_.Forget(node.slot, count); }

Attributes FileSystem::GetAttributes(NodeId node) {
  if (node.is_status()) return {StatusAttributes(node, catalog_.root()->st), kForever};
  const auto slot = SlotOf(node);
  if (slot->is_folder) {
    const auto st = ReadingFolder(*slot, [&] { return catalog_.StatFolder(*slot); });
    return {SourceAttributes(slot->path, st), options_.revalidate};
  }
  if (node.index == 0) return {SourceAttributes(slot->path, slot->st), options_.revalidate};
  if (node.is_name()) {
    const auto located = LocateNames(node, &catalog::Catalog::Open);
    return {NameAttributes(*slot, *located.open.index, *located.names, node.name()), kForever};
  }
  const auto located = Locate(node);
  return {MemberAttributes(*slot, located.archive(), located.index, located.first()), kForever};
}

struct statvfs FileSystem::StatFs() {
  struct statvfs st {};
  ReadingFolder(*catalog_.root(), [&] {
    const util::Waiting source(util::WaitsFor::kSource);
    if (fstatvfs(catalog_.OpenRoot().fd.get(), &st) != 0) throw util::ErrnoError("statfs");
  });
  st.f_bfree = st.f_bavail = st.f_ffree = st.f_favail = 0;
  st.f_namemax = NAME_MAX;
  return st;
}

archive::Extent FileSystem::ExtentOf(const Located& located) {
  if (located.inner) return located.inner->Locate(located.index);
  const auto& archive = located.archive();
  return archive::LocateMember(*located.open.file, archive, *archive.EntryOf(located.index));
}

std::unique_ptr<FileHandle> FileSystem::MakeHandle(const Located& located, NodeId node) {
  const auto& archive = located.archive();
  const auto& file = located.open.file;
  const auto member = located.node();
  if (member.is_directory) throw Error(EISDIR, "a directory");
  const bool in_npz = located.inner && member.parent == 0;
  return std::unique_ptr<FileHandle>(new FileHandle{
      .slot = located.slot,
      .index = node.index,
      .parent = in_npz ? NodeId::kFirstName + located.names->NodeOfNpz(located.npz)
                       : located.first() + member.parent,
      .member = located.Path(),
      .attributes = MemberAttributes(*located.slot, archive, located.index, located.first()),
      .file = file,
      .reader = {file, ExtentOf(located), decoders_},
      .kept = catalog_.Keep(*located.slot, *file)});
}

bool FileSystem::HasToVerify(const Located& located, NodeId node) const {
  if (!options_.verify_on_open) return false;
  if (located.inner) return true;
  const std::lock_guard lock(located.slot->mutex);
  const auto& right = located.slot->right_members;
  return right.empty() || !right[node.index];
}

std::unique_ptr<FileHandle> FileSystem::Open(NodeId node) {
  const auto located = Locate(node);
  const bool verify = HasToVerify(located, node);
  if (verify) util::CheckEffort(Effort::kDecode, node.number());
  return Open(located, node, verify);
}

std::unique_ptr<FileHandle> FileSystem::Open(const Located& located, NodeId node, bool verify) {
  const auto& file = *located.open.file;
  auto& slot = *located.slot;
  std::unique_ptr<FileHandle> handle;
  try {
    handle = MakeHandle(located, node);
    RefuseWrongMember(slot, node.index);
    if (verify) handle->reader.Verify();
    // What was read of the local header counts only if it is of this version.
    if (!catalog_.IsVersion(slot, file)) throw Error(ESTALE, "another version by now");
    if (verify && !located.inner) {
      const std::lock_guard lock(slot.mutex);
      slot.right_members.resize(located.open.index->node_count());
      slot.right_members[node.index] = true;
    }
    return handle;
  } catch (const Error& error) {
    if (error.code() == ESTALE) throw;
    if (!catalog_.IsVersion(slot, file)) throw Error(ESTALE, "another version by now");
    if (error.code() != EISDIR) {
      const bool is_wrong = handle && handle->reader.is_wrong();
      MemberFailed(slot, node.index, located.Path(), error, is_wrong);
    }
    throw;
  }
}

std::unique_ptr<FileHandle> FileSystem::OpenInherited(NodeId node) {
  auto slot = catalog_.Get(node.slot);
  if (!slot || slot->is_folder) throw Error(ESTALE, "no such node");
  const auto located = LocateIn(slot, catalog_.OpenInherited(slot), node);
  try {
    // Where the file has been touched meanwhile, the member's proof covers its local header.
    return MakeHandle(located, node);
  } catch (const Error& error) {
    MemberFailed(*slot, node.index, located.Path(), error);
    throw;
  }
}

void FileSystem::FolderFailed(const Slot& folder, const Error& error) const {
  if (error.code() == ESTALE) return;  // it has moved: the kernel looks its name up again
  util::LogError("{}: cannot be looked into: {}", Quoted(catalog_.LabelOf(folder)), error.what());
}

template <typename Call>
auto FileSystem::Reading(FileHandle& handle, const Call& call) {
  try {
    return call();
  } catch (const Error& error) {
    MemberFailed(*handle.slot, handle.index, handle.member, error, handle.reader.is_wrong());
    throw;
  }
}

size_t FileSystem::Read(FileHandle& handle, uint64_t offset, std::span<std::byte> out) {
  return Reading(handle, [&] {
    if (util::IsWithinLimit(Effort::kDecode)) return handle.reader.Read(offset, out);
    const auto got = handle.reader.ReadAtOnce(offset, out);
    if (got) return *got;
    const NodeId node{.slot = handle.slot->id, .index = handle.index};
    throw util::TooMuchEffort{Effort::kDecode, node.number()};
  });
}

void FileSystem::MemberFailed(Slot& slot, uint32_t index, const std::string& member,
                              const Error& error, bool is_wrong) {
  util::LogError("{}: member {} cannot be read: {}", Quoted(catalog_.LabelOf(slot)), Quoted(member),
                 error.what());
  const std::lock_guard lock(slot.mutex);
  if (slot.bad_members.size() < kRememberedFailures) slot.bad_members[index] = error.what();
  if (is_wrong && slot.wrong_members.size() < kRememberedFailures) slot.wrong_members.insert(index);
}

StaleName FileSystem::NameOfClosed(NodeId node, const FileHandle* handle) const {
  if (handle == nullptr) return {.node = node};
  const bool in_root = handle->parent == 0 && catalog_.source().is_single_archive();
  const NodeId parent{.slot = node.slot, .index = handle->parent};
  return {.node = node,
          .parent = in_root ? kRoot : parent,
          .name = handle->member.substr(handle->member.rfind('/') + 1)};
}

std::vector<StaleName> FileSystem::StaleNamesOfInherited(size_t most,
                                                         const std::function<void(uint64_t)>& at) {
  std::vector<StaleName> names;
  const bool is_single = catalog_.source().is_single_archive();
  for (const auto& slot : catalog_.InheritedOldVersions()) {
    // The version's own name, unless it leads to another one already.
    if (!is_single && !slot->superseded) {
      names.push_back({.node = {.slot = slot->id},
                       .parent = {.slot = slot->parent->id, .index = 0},
                       .name = slot->name});
    }
    if (at) at(slot->id);
    try {
      const auto index = catalog_.OpenInherited(slot).index;
      const auto root = index->node(0);
      for (uint32_t i = 0; i < std::min<size_t>(root.child_count, most); ++i) {
        names.push_back(
            {.node = {.slot = slot->id, .index = root.first_child + i},
             .parent = is_single ? kRoot : NodeId{.slot = slot->id, .index = 0},
             .name = std::string(index->tree().Name(index->node(root.first_child + i)))});
      }
    } catch (const Error&) {
      // Who reads it has been told.
    }
  }
  return names;
}

}  // namespace skopsfs::fs
