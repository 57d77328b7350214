#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "catalog/open_archives.h"
#include "catalog/slot.h"
#include "catalog/slot_table.h"
#include "catalog/source.h"

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
  Catalog(const std::string& source, const OpenArchives::Budget& budget);

  const Source& source() const { return source_; }
  const std::shared_ptr<Slot>& root() const { return slots_.root(); }

  // nullptr when the kernel holds no node of that slot.
  std::shared_ptr<Slot> Get(uint64_t slot_id) { return slots_.Get(slot_id); }
  // False when the slot has left the table meanwhile.
  bool AddLookups(Slot& slot, uint64_t count) { return slots_.AddLookups(slot, count); }
  void Forget(uint64_t slot_id, uint64_t count) { slots_.Forget(slot_id, count); }
  size_t slot_count() { return slots_.size(); }

  // The folder of `slot`, if it still is the one it was; util::Error(ESTALE) otherwise.
  Found OpenFolder(const Slot& slot) const;

  // What is to be said of it now, likewise.
  struct stat StatFolder(const Slot& slot) const;

  // The child `name` of an open folder as it is now, as for Source::OpenChild; without folders that
  // a symbolic link makes part of themselves, which would never end.
  std::optional<Found> Examine(const Slot& folder, const Found& open,
                               const std::string& name) const;

  // The slot of what Examine() found, with one lookup more.
  std::shared_ptr<Slot> Acquire(const std::shared_ptr<Slot>& folder, const std::string& name,
                                const Found& found);

  // When the source is one archive: the slot of its present version. The catalogue itself keeps a
  // lookup on it, so that it stays.
  std::shared_ptr<Slot> SingleArchive();

  // Opens the archive version of `slot`. Throws util::Error: ESTALE when the name leads to another
  // version by now, EIO with the reason when it is no archive that can be read.
  OpenArchive Open(const std::shared_ptr<Slot>& slot);

  // The archive's name for people.
  std::string LabelOf(const Slot& slot) const;

  // To be called about once a second; see OpenArchives.
  void Tidy() { open_.Tidy(); }
  size_t open_files() const { return open_.open_files(); }

 private:
  Found OpenAgain(const Slot& slot) const;
  void OpenFile(Slot& slot);
  void ReadIndex(Slot& slot);

  const Source source_;
  OpenArchives open_;
  SlotTable slots_;
  std::mutex single_mutex_;
  std::shared_ptr<Slot> single_;
};

}  // namespace skopsfs::catalog
