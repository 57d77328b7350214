#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "catalog/archive_summary.h"
#include "catalog/open_archives.h"
#include "catalog/replaced_names.h"
#include "catalog/slot.h"
#include "catalog/slot_table.h"
#include "source/source.h"
#include "util/mutex.h"

namespace skopsfs::catalog {

// The source folder as slots: looks names up, tells versions apart, opens archives within a budget
// of descriptors. Every look at a name looks at the source, so what it returns is never out of
// date. Thread-safe.
class Catalog {
 public:
  // Goes on with the slots that a predecessor left in `store`, if any. `descriptors`, if any, gets
  // the descriptors of what is read.
  Catalog(source::Source source, const OpenArchives::Budget& budget,
          std::unique_ptr<handover::SlotStore> store = std::make_unique<handover::SlotStore>(),
          DescriptorStore* descriptors = nullptr);

  // Takes over what a predecessor had kept; to be called before all else.
  void Inherit(InheritedDescriptor descriptor);

  // Looks at some of the files that are open, in turn, so that what was replaced, unlinked or
  // rewritten is found also when nobody looks its name up. To be called about once a second, by one
  // thread that may wait for the source.
  void LookAtOpenFiles();
  // Whether the name leads nowhere else by now, as far as is known.
  bool IsNamed(const Slot& slot) {
    return slots_.Current(slot.parent->id, slot.name).get() == &slot;
  }

  // All that was left has been taken over: from now on slots that go are gone. See SlotStore.
  void TakeOver() { store_->Release(); }

  const source::Source& source() const { return source_; }
  // The folder or single archive itself.
  source::Found OpenRoot() const;
  // Whether the source has been found to be gone since the last call, and still is, as when it lies
  // on a mount whose server has ended: then it stays so, whatever is mounted at its path by now.
  bool SourceIsGone();
  const std::shared_ptr<Slot>& root() const { return slots_.root(); }

  SlotTable& slots() { return slots_; }
  // Those that the kernel may not know any more.
  std::vector<SlotTable::Doubtful> Doubtful();

  // The folder of `slot`, if it still is the one it was; util::Error(ESTALE) otherwise.
  source::Found OpenFolder(const Slot& slot) const;

  // What is to be said of it now, likewise.
  struct stat StatFolder(const Slot& slot) const;

  // The child `name` of an open folder as it is now, as for Source::OpenChild; without folders that
  // a symbolic link makes part of themselves, which would never end.
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
  // With one lookup more on the slot. Nothing where there is no such name: what had it is
  // superseded. A plain file is opened as far as there is room, so that whoever looked it up can
  // read it later, whatever becomes of its name; of those that nobody has read the last few are
  // open.
  std::optional<Child> Lookup(const std::shared_ptr<Slot>& folder, const std::string& name);
  // The same for a name that an open folder was just listed with: nothing is superseded or opened.
  std::optional<Child> LookupListed(const std::shared_ptr<Slot>& folder, const source::Found& open,
                                    const std::string& name);

  // When the source is one archive: the slot of its present version. The catalogue itself keeps a
  // lookup on it, so that it stays.
  std::shared_ptr<Slot> SingleArchive();

  // Opens the archive version of `slot` to look a name up in it. Throws util::Error: ESTALE when
  // its own name leads to another version by now, EIO with the reason when it is no archive that
  // can be read. What of it is not in memory is an effort, see util/effort.h.
  OpenArchive Open(const std::shared_ptr<Slot>& slot) { return Open(slot, true); }
  // The same for a node of it that the kernel has: what is open stays that version, whatever its
  // name leads to. Another file than an archive has no index.
  OpenArchive OpenKnown(const std::shared_ptr<Slot>& slot) { return Open(slot, false); }

  // Whether `file`, which was opened as the version of `slot`, still is that, or else will do, see
  // ReplacedNames. If not, whoever uses it answers ESTALE.
  bool IsVersion(const Slot& slot, const archive::ArchiveFile& file) {
    return replaced_.IsVersion(slot.path, file);
  }

  // The member `index` of an open version is being read from now on: with `reader`, or with what it
  // is read with already. From then on the version's descriptor is kept to the end of the slot,
  // beyond the end of this process where somebody keeps descriptors.
  std::shared_ptr<archive::MemberReader> Read(Slot& slot, const OpenArchive& open, uint32_t index,
                                              std::shared_ptr<archive::MemberReader> reader);
  // nullptr when it is not being read. Throws util::Error(EIO) when it was found wrong.
  std::shared_ptr<archive::MemberReader> MemberOf(Slot& slot, uint32_t index);

  // Closes `file` of the slot if `code`, of a call for it, says that its filesystem is gone; says
  // whether. The next use opens it again: that may be back. Any other failure may pass, and what
  // has no name any more could not be opened again.
  bool LetGoOfDead(Slot& slot, const archive::ArchiveFile& file, int code);
  // Closes the file of the slot for ever if it was changed in place: nothing can be read of it.
  void LetGoOfChanged(Slot& slot);

  // The archive version cannot be opened, and its members cannot be read. To be called before all
  // else.
  void Quarantine(const handover::Identity& identity, const std::string& reason) {
    quarantined_.emplace_back(identity, reason);
  }

  // Counts the names of an open version as its index is counted. Throws util::Error(EIO) when they
  // are not those that a predecessor made of it.
  std::shared_ptr<const by_name::NameTree> Adopt(const Slot& slot,
                                                 std::unique_ptr<by_name::NameTree> names);

  // The archive's name for people.
  std::string LabelOf(const Slot& slot) const;

  // To be called about once a second; see OpenArchives.
  void Tidy();
  OpenArchives& open_archives() { return open_; }
  size_t open_files() const { return open_.open_files(); }

  // What the kernel knows of it now; of `most` archives one by one.
  ArchiveSummary SummarizeArchives(size_t most) {
    return catalog::SummarizeArchives(slots_.All(), most);
  }

  // Throws util::Error when the source cannot be read now.
  void CheckSource() const;

 private:
  template <typename Call>
  auto AskingSource(const Call& call) const;
  using File = Slot::File;
  using Index = Slot::Index;
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

  const source::Source source_;
  mutable std::atomic<bool> source_is_gone_ = false;
  DescriptorStore* const descriptors_;
  OpenArchives open_;
  ReplacedNames replaced_;
  const std::unique_ptr<handover::SlotStore> store_;
  SlotTable slots_;
  // Why it is served no more; nullptr when it is.
  const std::string* QuarantineOf(const Slot& slot) const;
  util::Error Failed(Slot& slot, const util::Error& error);

  std::vector<std::pair<handover::Identity, std::string>> quarantined_;
  util::Mutex plain_files_mutex_;  // no other one is taken while it is held
  // What OpenPlainFile() has opened, the latest last.
  std::deque<std::weak_ptr<Slot>> plain_files_ GUARDED_BY(plain_files_mutex_);
  uint64_t looked_at_ = 0;    // the slot whose file was looked at last
  util::Mutex single_mutex_;  // before those of the SlotTable and of ReplacedNames
  std::shared_ptr<Slot> single_ GUARDED_BY(single_mutex_);
};

}  // namespace skopsfs::catalog
