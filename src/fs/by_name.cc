// The part of FileSystem that shows the members of an archive by the names that its schema gives.

#include <malloc.h>

#include <mutex>

#include "catalog/schema.h"
#include "fs/file_system.h"
#include "util/effort.h"

namespace skopsfs::fs {
namespace {

using by_name::NameTree;
using catalog::Slot;
using util::Effort;
using util::Error;
using util::Quoted;

// Gives back what was freed, at the end of its scope: each of the threads would keep so much.
struct Trim {
  bool wanted;
  ~Trim() {
    if (wanted) malloc_trim(0);
  }
};

// Whoever needs the names of a version or what they lead to waits for the others who do.
uint64_t ByNameOf(const Slot& slot) {
  return NodeId{.slot = slot.id, .index = NodeId::kFirstName}.number();
}

}  // namespace

bool FileSystem::HasNames(const archive::ArchiveIndex& archive) const {
  return options_.by_name && catalog::SchemaOf(archive) && !archive.tree().Find(0, kByName);
}

Slot::Names FileSystem::ReadNames(Slot& slot, const catalog::OpenArchive& open) {
  const auto& archive = *open.index;
  const auto schema = catalog::SchemaOf(archive);
  if (!HasNames(archive)) throw Error(ESTALE, "no such node");
  const auto& entry = *archive.EntryOf(*schema);
  archive::MemberReader reader(open.file, archive::LocateMember(*open.file, archive, entry),
                               decoders_);
  std::unique_lock turn(large_schema_, std::defer_lock);
  if (entry.size > catalog::kLargeSchema) turn.lock();
  const Trim trim{.wanted = turn.owns_lock()};
  const auto objects = catalog::ReadObjectsOf(reader, archive);
  return catalog_.Adopt(slot, std::make_unique<NameTree>(objects));
}

Slot::Names FileSystem::NamesOf(Slot& slot, const catalog::OpenArchive& open) {
  if (auto names = slot.names()) return names;  // whoever reads others meanwhile
  const auto schema = catalog::SchemaOf(*open.index);
  if (schema && open.index->EntryOf(*schema)->size > catalog::kLargeSchema) {
    util::CheckEffort(Effort::kHuge, util::kHugeSchemas);
  }
  util::CheckEffort(Effort::kDecode, ByNameOf(slot));
  return slot.WhileReadingNames([&] {
    if (auto names = slot.names()) return names;
    try {
      auto names = ReadNames(slot, open);
      slot.SetNames({names, {}});
      return names;
    } catch (const Error& error) {
      if (!catalog_.IsVersion(slot, *open.file)) throw Error(ESTALE, "another version by now");
      util::LogError("{}: by-name cannot be shown: {}", Quoted(catalog_.LabelOf(slot)),
                     error.what());
      const bool is_lasting = error.code() != ENOMEM && !open.file->failed_to_read();
      if (is_lasting) slot.SetNames({nullptr, error});
      throw;
    }
  });
}

std::string FileSystem::Located::Path() const {
  if (!inner) return archive().PathOf(index);
  const uint32_t member = names->At(names->NodeOfNpz(npz)).member;
  return open.index->PathOf(member) + "/" + archive().PathOf(index);
}

// Its npz with that number, as a folder.
void FileSystem::OpenNpz(Located& located, uint32_t npz) {
  Slot& slot = *located.slot;
  const auto& open = located.open;
  const auto& names = *located.names;
  if (npz >= names.npz_count()) throw Error(ESTALE, "no such node");
  const uint32_t member = names.At(names.NodeOfNpz(npz)).member;
  located.npz = npz;
  located.inner = slot.NpzOf(npz, member);
  if (located.inner) return;
  util::CheckEffort(Effort::kDecode, ByNameOf(slot));
  located.inner = slot.WhileReadingNames([&] {
    if (auto archive = slot.NpzOf(npz, member)) return archive;
    const std::string path = open.index->PathOf(member);
    try {
      const auto outer =
          archive::LocateMember(*open.file, *open.index, *open.index->EntryOf(member));
      Slot::Npz archive = catalog_.open_archives().Adopt(
          std::make_unique<archive::InnerArchive>(open.file, outer, decoders_,
                                                  catalog_.LabelOf(slot) + "/" + path),
          slot);
      slot.SetNpz(npz, {archive, {}});
      return archive;
    } catch (const Error& error) {
      if (!catalog_.IsVersion(slot, *open.file)) throw Error(ESTALE, "another version by now");
      util::LogError("{}: member {} cannot be shown as a folder: {}",
                     Quoted(catalog_.LabelOf(slot)), Quoted(path), error.what());
      const bool is_lasting = error.code() != ENOMEM && !open.file->failed_to_read();
      if (is_lasting) slot.SetNpz(npz, {nullptr, error});
      throw;
    }
  });
}

std::string FileSystem::Located::TargetOf(uint32_t name) const {
  std::string target;
  for (size_t up = names->DepthOf(name) + 1; up > 0; --up) target += "../";
  return target + open.index->PathOf(names->At(name).member);
}

std::string FileSystem::ReadLink(NodeId node) {
  if (!node.is_name()) throw Error(EINVAL, "no symbolic link");
  const auto located = Locate(node);
  if (!located.name().is_link()) throw Error(EINVAL, "no symbolic link");
  return located.TargetOf(node.name());
}

}  // namespace skopsfs::fs
