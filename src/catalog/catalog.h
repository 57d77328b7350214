#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "catalog/open_archives.h"
#include "catalog/replaced_names.h"
#include "catalog/slot.h"
#include "catalog/slot_table.h"
#include "source/source.h"
#include "util/mutex.h"

namespace skopsfs::catalog {

// The source folder as slots: it looks names up, tells versions apart, and opens archives within a
// budget of descriptors. Every look-up of a name asks the source, so no answer is out of date.
// It owns the slots and what is open of them. Thread-safe.
class Catalog {
 public:
  // Goes on with the slots that a predecessor left in `store`. `descriptors`, if any, keeps the
  // descriptors of what is open; it must outlive the catalogue.
  Catalog(source::Source source, const OpenArchives::Budget& budget,
          std::unique_ptr<handover::SlotStore> store = std::make_unique<handover::SlotStore>(),
          DescriptorStore* descriptors = nullptr);

  // --- after a takeover; to be called before all else ---

  // Goes on with a descriptor that a predecessor had kept.
  void Inherit(InheritedDescriptor descriptor);
  // This archive version is never opened, and its members cannot be read.
  void Quarantine(const handover::Identity& identity, const std::string& reason) {
    quarantined_.emplace_back(identity, reason);
  }
  // The takeover is done: from now on the records of slots that end are removed, see SlotStore.
  void TakeOver() { store_->Release(); }

  // --- the source ---

  const source::Source& source() const { return source_; }
  // Opens the folder or single archive itself.
  source::Found OpenRoot() const;
  // Throws util::Error when the source cannot be read now.
  void CheckSource() const;
  // Whether the source was found to be gone since the last call, and still is. It is gone when the
  // server of its filesystem has ended, whatever is mounted at its path by now.
  bool SourceIsGone();

  // --- slots ---

  const std::shared_ptr<Slot>& root() const { return slots_.root(); }
  SlotTable& slots() { return slots_; }
  // The slots that the kernel may not know any more.
  std::vector<SlotTable::Doubtful> Doubtful();
  // Whether the name of the slot still leads to it, as far as is known.
  bool IsNamed(const Slot& slot) {
    return slots_.Current(slot.parent->id, slot.name).get() == &slot;
  }
  // The slot of the present version of a source that is one archive. The catalogue keeps a lookup
  // on the slot, so that it stays.
  std::shared_ptr<Slot> SingleArchive();
  // The archive's name for people.
  std::string LabelOf(const Slot& slot) const {
    return slot.path.empty() ? source_.path() : slot.path;
  }

  // --- folders ---

  // Opens the folder of `slot`. Throws util::Error(ESTALE) when it is not the one it was.
  source::Found OpenFolder(const Slot& slot) const;
  // The attributes of that folder now. Throws the same.
  struct stat StatFolder(const Slot& slot) const;

  // The child `name` of an open folder as it is now, as for Source::OpenChild. A folder that a
  // symbolic link makes part of itself is left out, since it would never end.
  std::optional<source::Found> FindChild(const Slot& folder, const source::Found& open,
                                         const std::string& name) const;
  // The type and identity of what FindChild() would find, for less: archives are not opened.
  std::optional<struct stat> StatChild(const Slot& folder, const source::Found& open,
                                       const std::string& name) const;

  // What a name in a folder leads to now: its slot, and what the source says of it.
  struct Child {
    std::shared_ptr<Slot> slot;
    struct stat st {};
  };
  // Looks a name up, with one lookup more on the slot. Nothing where there is no such name: what
  // had it is superseded. A plain file is opened if there is room, so that it can be read later
  // whatever becomes of its name. Of plain files that nobody has read, the last few stay open.
  std::optional<Child> Lookup(const std::shared_ptr<Slot>& folder, const std::string& name);
  // The same for a name that an open folder was just listed with: nothing is superseded or opened.
  std::optional<Child> LookupListed(const std::shared_ptr<Slot>& folder, const source::Found& open,
                                    const std::string& name);

  // --- versions ---

  // Opens the archive version of `slot` to look a name up in it. Throws util::Error: ESTALE when
  // its own name leads to another version by now, EIO with the reason when the archive cannot be
  // read. Reading what is not in memory is an effort, see util/effort.h.
  OpenArchive Open(const std::shared_ptr<Slot>& slot) { return Open(slot, true); }
  // Opens it for a node that the kernel has: what is open stays that version, whatever its name
  // leads to. A plain file has no index.
  OpenArchive OpenKnown(const std::shared_ptr<Slot>& slot) { return Open(slot, false); }

  // Whether `file`, which was opened as the version of `slot`, still is that version or will do
  // for it, see ReplacedNames. If not, whoever uses it answers ESTALE.
  bool IsVersion(const Slot& slot, const archive::ArchiveFile& file) {
    return replaced_.IsVersion(slot.path, file);
  }

  // The member `index` of an open version is being read from now on, see Slot::StartReading(). From
  // then on the version's descriptor is kept to the end of the slot, and beyond the end of this
  // process if that is possible.
  Slot::Reader Read(Slot& slot, const OpenArchive& open, uint32_t index, Slot::Reader reader) {
    return slot.StartReading(index, open.file, std::move(reader), descriptors_);
  }
  // nullptr when the member is not being read. Throws util::Error(EIO) when it was found wrong.
  Slot::Reader MemberOf(Slot& slot, uint32_t index) {
    auto reader = slot.ReaderOf(index);
    if (reader) open_.UsedAgain(slot);
    return reader;
  }

  // Closes `file` of the slot if `code`, of a call for it, says that its filesystem is gone. Says
  // whether it does. The next use opens the file again, since the filesystem may be back. Other
  // failures may pass, and a file that has no name any more could not be opened again.
  bool LetGoOfDead(Slot& slot, const archive::ArchiveFile& file, int code);
  // Closes the file of the slot for ever if it was changed in place: nothing can be read of it.
  void LetGoOfChanged(Slot& slot);

  // Counts the names of an open version against the budget. Throws util::Error(EIO) when they are
  // not the names that a predecessor made of it.
  Slot::Names Adopt(const Slot& slot, std::unique_ptr<by_name::NameTree> names);

  OpenArchives& open_archives() { return open_; }

  // --- housekeeping ---

  // To be called about once a second; see OpenArchives.
  void Tidy();
  // Looks at some of the open files, in turn. So it is found that a file was replaced, unlinked or
  // rewritten although nobody looks its name up. To be called about once a second, by one thread
  // that may wait for the source.
  void LookAtOpenFiles();

 private:
  using File = Slot::File;
  using Index = Slot::Index;

  template <typename Call>
  auto AskingSource(const Call& call) const;
  source::Found OpenAgain(const Slot& slot) const;
  std::shared_ptr<Slot> Acquire(const std::shared_ptr<Slot>& folder, const std::string& name,
                                const source::Found& found);
  void OpenPlainFile(const std::shared_ptr<Slot>& slot);
  OpenArchive Open(const std::shared_ptr<Slot>& slot, bool as_named);
  bool IsStillNamed(Slot& slot, const File& file);
  OpenArchive OpenNow(const std::shared_ptr<Slot>& slot, bool as_named);
  File OpenFile(Slot& slot);
  Index ReadIndex(Slot& slot, const File& file, bool as_named);
  Index IndexOf(Slot& slot, const archive::ArchiveFile& file);
  // Why the version is never opened; nullptr when it may be.
  const std::string* QuarantineOf(const Slot& slot) const;
  util::Error Failed(Slot& slot, const util::Error& error);

  const source::Source source_;
  mutable std::atomic<bool> source_is_gone_ = false;
  DescriptorStore* const descriptors_;
  OpenArchives open_;
  ReplacedNames replaced_;
  const std::unique_ptr<handover::SlotStore> store_;
  SlotTable slots_;
  std::vector<std::pair<handover::Identity, std::string>> quarantined_;
  uint64_t looked_at_ = 0;  // the slot whose file was looked at last

  util::Mutex plain_files_mutex_;  // no other one is taken while it is held
  // What OpenPlainFile() has opened, the latest last.
  std::deque<std::weak_ptr<Slot>> plain_files_ GUARDED_BY(plain_files_mutex_);
  util::Mutex single_mutex_;  // before those of the SlotTable and of ReplacedNames
  std::shared_ptr<Slot> single_ GUARDED_BY(single_mutex_);
};

}  // namespace skopsfs::catalog
