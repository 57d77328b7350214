#include "fs/file_system.h"

#include <climits>

#include "fs/attributes.h"
#include "util/effort.h"
#include "util/progress.h"

namespace skopsfs::fs {

static_assert(handover::SlotStore::kMostIds < uint64_t{1} << (64 - NodeId::kIndexBits));
namespace {

using catalog::Slot;
using util::Effort;
using util::Error;
using util::Quoted;

constexpr size_t kMostWrong = 1000;  // that are remembered

// Of a plain file, up to so many bytes are read through before one is given. Of others the CRC-32
// is known once all have gone by.
constexpr uint64_t kReadThrough = uint64_t{16} << 20;

// What a record says of a plain file, in place of the mark of an index: whether bytes of it were
// given to somebody, or, with a bit above it, what the CRC-32 of all is. So the next worker gives
// the same bytes or none.
constexpr uint64_t kWasRead = 1;
constexpr uint64_t kHasCrc32 = uint64_t{1} << 32;

catalog::OpenArchives::Budget Counting(catalog::OpenArchives::Budget budget,
                                       handover::Counters& counters) {
  budget.counters = &counters;
  return budget;
}

}  // namespace

FileSystem::FileSystem(source::Source source, const Options& options,
                       std::unique_ptr<handover::SlotStore> store,
                       catalog::DescriptorStore* descriptors)
    : options_(options),
      own_counters_(options.counters != nullptr ? nullptr : std::make_unique<handover::Counters>()),
      counters_(options.counters != nullptr ? *options.counters : *own_counters_),
      decoders_(options.decoder_bytes),
      catalog_(std::move(source), Counting(options.budget, counters_), std::move(store),
               descriptors),
      status_texts_(counters_.status_texts) {}

// The slot that a node is of; for a source that is one archive the root is that of its present
// version.
std::shared_ptr<Slot> FileSystem::SlotOf(NodeId node) {
  if (IsSingleRoot(node)) return catalog_.SingleArchive();
  auto slot = catalog_.slots().Get(node.slot);
  if (!slot) throw Error(ESTALE, "no such node");
  return slot;
}

FileSystem::Located FileSystem::Locate(NodeId node) {
  const auto slot = SlotOf(node);
  if (slot->is_folder) throw Error(EISDIR, "a folder");
  return LocateIn(slot, &catalog::Catalog::OpenKnown, node);
}

FileSystem::Located FileSystem::LocateIn(const std::shared_ptr<Slot>& slot, OpenCall open,
                                         NodeId node) {
  if (slot->is_plain_file) throw Error(ENOTDIR, "a file");
  Located located{.node = node, .slot = slot, .open = (catalog_.*open)(slot)};
  bool is_there = false;
  if (node.is_name()) {
    located.names = NamesOf(*slot, located.open);
    is_there = node.name() < located.names->size();
  } else if (node.is_inner()) {
    located.names = NamesOf(*slot, located.open);
    OpenNpz(located, node.npz());
    located.index = node.inner();
    is_there = located.index > 0 && located.index < located.archive().node_count();
  } else {
    located.index = node.index;
    is_there = located.index < located.archive().node_count();
  }
  if (!is_there) throw Error(ESTALE, "no such node");
  return located;
}

// The same for what can be looked into.
FileSystem::Located FileSystem::LocateDirectory(const std::shared_ptr<Slot>& slot, OpenCall open,
                                                NodeId node) {
  if (slot->is_folder) return {.node = node, .slot = slot};
  auto located = LocateIn(slot, open, node);
  if (!node.is_name()) return located;
  const auto kind = located.name().kind;
  if (kind == by_name::NameTree::Kind::kLink) throw Error(ENOTDIR, "a symbolic link");
  if (kind == by_name::NameTree::Kind::kNpz)
    OpenNpz(located, located.names->NumberOfNpz(node.name()));
  return located;
}

Entry FileSystem::SourceEntry(const catalog::Catalog::Child& child) const {
  const Slot& slot = *child.slot;
  // A plain file that was but listed is to be looked up before it is opened, see Catalog::Lookup().
  const bool is_listed_only = slot.is_plain_file && !slot.file();
  return {.node = {.slot = slot.id, .index = 0},
          .attributes = SourceAttributes(slot.path, child.st),
          .entry_timeout = is_listed_only ? 0 : options_.revalidate,
          .attribute_timeout = options_.revalidate};
}

// Of the node `index`, which `located` is, which it lies in, or which lies in it.
struct stat FileSystem::AttributesIn(const Located& located, uint32_t index) {
  const Slot& slot = *located.slot;
  if (index == 0) return SourceAttributes(slot.path, slot.st);
  const NodeId node{.index = index};
  if (!node.is_name()) {
    return MemberAttributes(slot, located.archive(), index - located.first(), located.first());
  }
  // Of by-name itself the names may not have been read.
  const bool is_link = located.names && located.names->At(node.name()).is_link();
  return is_link ? LinkAttributes(slot, index, located.TargetOf(node.name()).size())
                 : NameFolderAttributes(slot, index);
}

Entry FileSystem::EntryIn(const Located& directory, uint32_t index) const {
  // Inside a version nothing ever changes. But the kernel never looks the root up again, so what
  // is directly below it must be asked for when another version may have come.
  return {.node = {.slot = directory.slot->id, .index = index},
          .attributes = AttributesIn(directory, index),
          .entry_timeout = IsSingleRoot(directory.node) ? options_.revalidate : kForever,
          .attribute_timeout = kForever};
}

std::optional<Entry> FileSystem::LookupInFolder(const std::shared_ptr<Slot>& folder,
                                                const std::string& name) {
  try {
    const auto child = catalog_.Lookup(folder, name);
    return child ? std::optional(SourceEntry(*child)) : std::nullopt;
  } catch (const Error& error) {
    if (error.code() != ESTALE) {
      util::LogError("{}: cannot be looked up: {}", Quoted(source::JoinPath(folder->path, name)),
                     error.what());
    }
    throw;
  }
}

std::optional<Entry> FileSystem::Lookup(NodeId parent, const std::string& name) {
  if (name.size() > NAME_MAX) throw Error(ENAMETOOLONG, "a name is too long");
  if (parent == kStatusFolderNode) return LookupStatus(name);
  if (parent == kRoot && name == kStatusFolder && !SourceHasStatusFolder()) {
    return Entry{.node = kStatusFolderNode,
                 .attributes = StatusFolderAttributes(catalog_.root()->st),
                 .entry_timeout = options_.revalidate,
                 .attribute_timeout = kForever};
  }
  return RetryIfReplaced(parent, [&] { return LookupInSource(parent, name); });
}

std::optional<Entry> FileSystem::LookupInSource(NodeId parent, const std::string& name) {
  const auto slot = SlotOf(parent);
  if (slot->is_folder) return LookupInFolder(slot, name);
  const auto directory = LocateDirectory(slot, &catalog::Catalog::Open, parent);
  auto child = ChildOf(directory, name);
  // Last: once it is counted, nothing may fail. A single archive's slot may just have been replaced
  // and forgotten.
  if (child && !catalog_.slots().AddLookups(*directory.slot, 1)) {
    throw Error(ESTALE, "another version by now");
  }
  return child;
}

// In a directory of an archive.
std::optional<Entry> FileSystem::ChildOf(const Located& directory, const std::string& name) const {
  if (directory.holds_names()) {
    const auto found = directory.names->Find(directory.node.name(), name);
    return found ? std::optional(EntryIn(directory, NodeId::kFirstName + *found)) : std::nullopt;
  }
  const auto& archive = directory.archive();
  if (const auto child = archive.tree().Find(directory.index, name)) {
    return EntryIn(directory, directory.first() + *child);
  }
  const bool is_by_name = directory.node.index == 0 && name == kByName && HasNames(archive);
  return is_by_name ? std::optional(EntryIn(directory, NodeId::kFirstName)) : std::nullopt;
}

Timeout FileSystem::NegativeTimeout(NodeId parent) {
  const bool inside_a_version = parent != kRoot && !SlotOf(parent)->is_folder;
  return inside_a_version ? kForever : options_.revalidate;
}

void FileSystem::Forget(NodeId node, uint64_t count) noexcept {
  if (node.is_status()) return status_texts_.Forget(node);
  catalog_.slots().Forget(node.slot, count);
}

Attributes FileSystem::GetAttributes(NodeId node) {
  if (node == kStatusFolderNode) return {StatusFolderAttributes(catalog_.root()->st), kForever};
  if (node.is_status()) return {status_texts_.Find(node)->attributes, kForever};
  const auto slot = SlotOf(node);
  if (slot->is_folder) {
    const auto st = ReadingFolder(*slot, [&] { return catalog_.StatFolder(*slot); });
    return {SourceAttributes(slot->path, st), options_.revalidate};
  }
  if (node.index == 0) return {SourceAttributes(slot->path, slot->st), options_.revalidate};
  return {AttributesIn(Locate(node), node.index), kForever};
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

// Runs `call`, which reads the member `node` with `reader`, or makes that; says why it fails.
template <typename Call>
auto FileSystem::Reading(Slot& slot, NodeId node,
                         const std::shared_ptr<archive::MemberReader>& reader, const Call& call) {
  try {
    return call();
  } catch (const Error& error) {
    if (error.code() == EISDIR) throw;
    // Here the kernel does not look the name up again.
    const bool is_gone = error.code() == ESTALE;
    const Error told = is_gone ? Error(EIO, "replaced or removed before it was read") : error;
    MemberFailed(slot, node, told, reader && reader->is_wrong());
    if (const auto file = slot.file()) catalog_.LetGoOfDead(slot, *file, error.code());
    throw told;
  }
}

Member FileSystem::MemberOf(NodeId node) {
  auto slot = catalog_.slots().Get(node.slot);
  if (!slot || slot->is_folder || node.is_name()) throw Error(ESTALE, "no such node");
  if (auto reader = catalog_.MemberOf(*slot, node.index)) return {node, slot, std::move(reader)};
  std::shared_ptr<archive::MemberReader> reader;
  return Reading(*slot, node, reader, [&]() -> Member {
    if (slot->is_plain_file) return PlainFileOf(slot, node);
    const auto located = Locate(node);
    if (located.member().is_directory) throw Error(EISDIR, "a directory");
    const auto& file = located.open.file;
    reader = catalog_.open_archives().Adopt(
        std::make_unique<archive::MemberReader>(file, ExtentOf(located), decoders_), *slot);
    // Where the file has been touched meanwhile, the member's proof covers its local header.
    file->CheckUnchanged();
    if (options_.proves_first) {
      util::CheckEffort(Effort::kDecode, node.number());
      reader->Verify();
    }
    return {node, slot, catalog_.Read(*slot, located.open, node.index, reader)};
  });
}

Member FileSystem::PlainFileOf(const std::shared_ptr<Slot>& slot, NodeId node) {
  if (node.index != 0) throw Error(ESTALE, "no such node");
  const auto open = catalog_.OpenKnown(slot);
  const uint64_t size = open.file->size();
  auto& mark = slot->record->index_mark;
  const uint64_t known = mark;
  const archive::Extent extent{.compressed_size = size,
                               .size = size,
                               .crc32 = static_cast<uint32_t>(known),
                               .has_crc32 = known >= kHasCrc32};
  auto reader = catalog_.open_archives().Adopt(
      std::make_unique<archive::MemberReader>(open.file, extent, decoders_), *slot);
  if (known == 0) util::CheckEffort(Effort::kDecode, node.number());
  if (known == 0 && size <= kReadThrough) {
    // Who was first may have read it when it was something else.
    if (!handover::IsMark(mark, kHasCrc32 | reader->LearnCrc32())) {
      throw Error(EIO, "the archive is being changed all the time");
    }
  } else if (uint64_t none = 0; known == 0 && mark.compare_exchange_strong(none, kWasRead)) {
    reader->TakeAsItIs();
  }
  return {node, slot, catalog_.Read(*slot, open, node.index, reader)};
}

void FileSystem::NoteCrc32(const Member& member) {
  auto& mark = member.slot->record->index_mark;
  if (mark >= kHasCrc32) return;
  if (const auto crc = member.reader->Crc32()) mark = kHasCrc32 | *crc;
}

size_t FileSystem::Read(const Member& member, uint64_t offset, std::span<std::byte> out) {
  return Reading(*member.slot, member.node, member.reader, [&] {
    const bool may_take_long = util::IsWithinLimit(Effort::kDecode);
    const auto got = may_take_long ? std::optional(member.reader->Read(offset, out))
                                   : member.reader->ReadAtOnce(offset, out);
    if (!got) throw util::TooMuchEffort{Effort::kDecode, member.node.number()};
    if (member.slot->is_plain_file) NoteCrc32(member);
    return *got;
  });
}

// Once for each reason: the kernel reads again and again what somebody has mapped.
void FileSystem::MemberFailed(Slot& slot, NodeId node, const Error& error, bool is_wrong) {
  const auto wrong = slot.MemberFailed(node.index, error.what(), is_wrong);
  if (!wrong) return;
  const auto label = Quoted(catalog_.LabelOf(slot));
  if (slot.is_plain_file) {
    util::LogError("{}: cannot be read: {}", label, error.what());
  } else {
    util::LogError("{}: member {} cannot be read: {}", label, Quoted(PathOf(node)), error.what());
  }
  const util::MutexLock lock(wrong_mutex_);
  if (wrong_.size() < kMostWrong) wrong_.insert(wrong_.end(), wrong->begin(), wrong->end());
}

}  // namespace skopsfs::fs
