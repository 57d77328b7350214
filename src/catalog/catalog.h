#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "catalog/census.h"
#include "catalog/open_archives.h"
#include "catalog/replaced_names.h"
#include "catalog/slot.h"
#include "catalog/slot_table.h"
#include "catalog/source.h"
#include "util/long_mutex.h"

namespace skopsfs::catalog {

// An archive version that is open for as long as this lives.
struct OpenArchive {
  std::shared_ptr<const archive::ArchiveFile> file;
  std::shared_ptr<const archive::ArchiveIndex> index;
};

// The source folder as slots: looks names up, tells versions apart, opens archives within a budget
// of descriptors. Every look at a name looks at the source, so what it returns is never out of
// date. Thread-safe.
class Catalog {
 public:
  // Goes on with the slots that a predecessor left in `store`, if any. `keeper`, if any, gets the
  // descriptors of what is open.
  Catalog(Source source, const OpenArchives::Budget& budget,
          std::unique_ptr<SlotStore> store = std::make_unique<SlotStore>(),
          DescriptorKeeper* keeper = nullptr);

  // Takes over what a predecessor had kept; to be called before all else.
  void Inherit(InheritedDescriptor descriptor);
  // The slots whose descriptor was inherited, and which are not the present version of their name.
  std::vector<std::shared_ptr<Slot>> InheritedOldVersions();

  // Whether the slot is of another version than its name leads to, as far as that is known or its
  // open file tells. Looks at the source.
  bool IsOld(uint64_t slot_id);

  // Closes what was inherited and nobody has open any more. To be called about once a second, after
  // what the kernel is to drop of these was looked for.
  void LetGoOfInherited();
  // Those and others that a predecessor has given to the kernel, and which are superseded, by id.
  std::set<uint64_t> OldVersionsOfPredecessors();

  // All that was left has been taken over: from now on slots that go are gone. See SlotStore.
  void TakeOver() { store_->Release(); }

  const Source& source() const { return source_; }
  // The folder or single archive itself.
  Found OpenRoot() const;
  // Whether the source has been found to be gone since the last call, and still is, as when it lies
  // on a mount whose server has ended: then it stays so, whatever is mounted at its path by now.
  bool SourceIsGone();
  const std::shared_ptr<Slot>& root() const { return slots_.root(); }

  // nullptr when the kernel holds no node of that slot.
  std::shared_ptr<Slot> Get(uint64_t slot_id) { return slots_.Get(slot_id); }
  // False when the slot has left the table meanwhile.
  bool AddLookups(Slot& slot, uint64_t count) { return slots_.AddLookups(slot, count); }
  void Forget(uint64_t slot_id, uint64_t count) noexcept { slots_.Forget(slot_id, count); }
  std::vector<SlotTable::Doubtful> Doubtful();
  void ForgetAll(const SlotTable::Doubtful& doubtful) noexcept { slots_.ForgetAll(doubtful); }
  size_t slot_count() { return slots_.size(); }

  // The folder of `slot`, if it still is the one it was; util::Error(ESTALE) otherwise.
  Found OpenFolder(const Slot& slot) const;

  // What is to be said of it now, likewise.
  struct stat StatFolder(const Slot& slot) const;

  // The child `name` of an open folder as it is now, as for Source::OpenChild; without folders that
  // a symbolic link makes part of themselves, which would never end.
  std::optional<Found> Examine(const Slot& folder, const Found& open,
                               const std::string& name) const;

  // The type and identity of what Examine() would find, for less: archives are not opened.
  std::optional<struct stat> Glance(const Slot& folder, const Found& open,
                                    const std::string& name) const;

  // The slot of what Examine() found, with one lookup more.
  std::shared_ptr<Slot> Acquire(const std::shared_ptr<Slot>& folder, const std::string& name,
                                const Found& found);

  // What Examine() did not find: what `name` was before is an old version, unless it comes back.
  void Vanished(const Slot& folder, const std::string& name) { slots_.Vanished(folder.id, name); }

  // When the source is one archive: the slot of its present version. The catalogue itself keeps a
  // lookup on it, so that it stays.
  std::shared_ptr<Slot> SingleArchive();

  // Opens the archive version of `slot`. Throws util::Error: ESTALE when the name leads to another
  // version by now, EIO with the reason when it is no archive that can be read. What of it is not
  // in memory is an effort, see util/effort.h.
  OpenArchive Open(const std::shared_ptr<Slot>& slot);

  // Whether `file`, which was opened as the version of `slot`, still is that, or else will do, see
  // ReplacedNames. If not, whoever uses it answers ESTALE.
  bool IsVersion(const Slot& slot, const archive::ArchiveFile& file) {
    return replaced_.IsVersion(slot.path, file);
  }

  // The same for a member that the kernel has had open since before this process: of a version that
  // has been replaced meanwhile, too.
  OpenArchive OpenInherited(const std::shared_ptr<Slot>& slot);

  // Keeps the version's descriptor beyond the end of this process, for as long as what this returns
  // lives. nullptr where nobody keeps descriptors.
  std::shared_ptr<const KeptDescriptor> Keep(Slot& slot, const archive::ArchiveFile& file);

  // The archive version cannot be opened, and its members cannot be read. To be called before all
  // else.
  void Quarantine(const archive::Identity& identity, const std::string& reason) {
    quarantined_.emplace_back(identity, reason);
  }

  // Counts the names of an open version as its index is counted. Throws util::Error(EIO) when they
  // are not those that a predecessor made of it.
  std::shared_ptr<const by_name::NameTree> Adopt(const Slot& slot,
                                                 std::unique_ptr<by_name::NameTree> names);

  // Counts what an npz holds likewise.
  std::shared_ptr<const archive::InnerArchive> Adopt(const Slot& slot,
                                                     std::unique_ptr<archive::InnerArchive> inner) {
    return open_.Adopt(std::move(inner), slot);
  }

  // A handle of the version was given to the kernel, or given back by it.
  static void CountHandle(Slot& slot);
  static void DropHandle(Slot& slot);

  // The archive's name for people.
  std::string LabelOf(const Slot& slot) const;

  // To be called about once a second; see OpenArchives.
  void Tidy() {
    open_.Tidy();
    replaced_.Tidy();
    if (keeper_ != nullptr) keeper_->TryAgain();
  }
  void DropLastPages() { open_.DropLastPages(); }
  size_t open_files() const { return open_.open_files(); }
  size_t most_open_files() const { return open_.budget().descriptors; }
  size_t index_bytes() const { return open_.index_bytes(); }

  // What the kernel knows of it now; of `most` archives one by one.
  Census TakeCensus(size_t most) { return catalog::TakeCensus(slots_.All(), most); }

  // Throws util::Error when the source cannot be read now.
  void CheckSource() const;

 private:
  template <typename Call>
  auto AskingSource(const Call& call) const;
  using File = std::shared_ptr<const archive::ArchiveFile>;
  using Index = std::shared_ptr<const archive::ArchiveIndex>;
  Found OpenAgain(const Slot& slot) const;
  std::shared_ptr<Slot> FindSingleArchive();
  OpenArchive AtHand(Slot& slot);
  OpenArchive OpenNow(const std::shared_ptr<Slot>& slot);
  File OpenFile(Slot& slot);
  Index ReadIndex(Slot& slot, const File& file);
  Index IndexOf(Slot& slot, const archive::ArchiveFile& file);

  const Source source_;
  mutable std::atomic<bool> source_is_gone_ = false;
  DescriptorKeeper* const keeper_;
  OpenArchives open_;
  ReplacedNames replaced_;
  const std::unique_ptr<SlotStore> store_;
  SlotTable slots_;
  static void RefuseFailed(Slot& slot);
  void RefuseQuarantined(const Slot& slot) const;

  std::vector<std::pair<archive::Identity, std::string>> quarantined_;
  util::LongMutex inherited_mutex_;
  std::vector<std::weak_ptr<Slot>> inherited_;
  std::mutex single_mutex_;
  std::shared_ptr<Slot> single_;
};

}  // namespace skopsfs::catalog
