// The part of Catalog that opens archives.

#include "archive/writers.h"
#include "catalog/catalog.h"
#include "util/effort.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::catalog {
namespace {

using util::Effort;
using util::Error;
using util::Quoted;

constexpr auto kBeingWritten = "somebody has it open for writing";

// Whether `known` is `mark`, which it becomes if nothing was known.
bool IsMark(std::atomic<uint64_t>& known, uint64_t mark) {
  uint64_t before = 0;
  return known.compare_exchange_strong(before, mark) || before == mark;
}

void CheckCanOpen(const Slot& slot) {
  if (slot.has_huge_index) {
    util::CheckEffort(Effort::kHuge, util::kHugeIndexes);
  } else {
    util::CheckEffort(Effort::kOpen, slot.id);
  }
}

}  // namespace

void Catalog::RefuseFailed(Slot& slot) {
  const std::lock_guard lock(slot.mutex);
  if (slot.failure) throw Error(*slot.failure);
}

void Catalog::RefuseQuarantined(const Slot& slot) const {
  for (const auto& [identity, reason] : quarantined_) {
    if (slot.identity == identity) throw Error(EIO, reason);
  }
}

OpenArchive Catalog::Open(const std::shared_ptr<Slot>& slot) {
  RefuseFailed(*slot);
  try {
    RefuseQuarantined(*slot);
    auto open = AtHand(*slot);
    if (!open.file || !open.index) open = OpenNow(slot);
    open_.Used(slot);
    const std::lock_guard lock(slot->mutex);
    slot->trouble.reset();
    return open;
  } catch (const Error& error) {
    if (error.code() == ESTALE) {
      replaced_.Add(slot->path);
    } else {
      util::LogError("{}: cannot be opened: {}", Quoted(LabelOf(*slot)), error.what());
      const std::lock_guard lock(slot->mutex);
      slot->trouble = error;
    }
    throw;
  } catch (const std::bad_alloc&) {
    {
      const std::lock_guard lock(slot->mutex);
      slot->CloseFile();
      slot->trouble = Error(ENOMEM, "out of memory");
    }
    util::LogError("{}: cannot be opened: out of memory", Quoted(LabelOf(*slot)));
    throw Error(ENOMEM, "out of memory");
  }
}

// What is in memory and still is what the name leads to.
OpenArchive Catalog::AtHand(Slot& slot) {
  OpenArchive open;
  {
    const std::lock_guard lock(slot.mutex);
    open = {slot.file, slot.index};
  }
  if (open.file && !IsVersion(slot, *open.file)) {
    const std::lock_guard lock(slot.mutex);
    if (slot.file == open.file) slot.CloseFile();
    open.file.reset();
  }
  return open;
}

OpenArchive Catalog::OpenNow(const std::shared_ptr<Slot>& slot) {
  CheckCanOpen(*slot);
  const std::lock_guard opening(slot->opening);
  auto open = AtHand(*slot);  // who was here before may have opened it
  if (!open.file) {
    open.file = OpenFile(*slot);
    open_.Used(slot);  // to be closed again should reading its index have to wait
  }
  if (!open.index) open.index = ReadIndex(*slot, open.file);
  return open;
}

OpenArchive Catalog::OpenInherited(const std::shared_ptr<Slot>& slot) {
  RefuseQuarantined(*slot);
  RefuseFailed(*slot);
  const auto at_hand = [&]() -> OpenArchive {
    const std::lock_guard lock(slot->mutex);
    return {slot->inherited, slot->index};
  };
  auto open = at_hand();
  if (!open.file) return Open(slot);
  if (!open.index) {
    CheckCanOpen(*slot);
    const std::lock_guard opening(slot->opening);
    open.index = at_hand().index;
    if (!open.index) {
      open.index = IndexOf(*slot, *open.file);
      // Its times other than that of the last change are still those; its mark is, too.
      open.file->CheckUnchanged();
      const std::lock_guard lock(slot->mutex);
      slot->index = open.index;
    }
  }
  open_.Used(slot);
  return open;
}

Catalog::File Catalog::OpenFile(Slot& slot) {
  const auto kept = replaced_.Kept(slot.id);
  const auto found = kept ? kept : std::make_shared<const Found>(OpenAgain(slot));
  if (!S_ISREG(found->st.st_mode)) throw Error(ESTALE, Quoted(slot.path) + " is no archive by now");
  util::UniqueFd fd = Source::OpenForReading(*found);
  if (archive::IdentityOf(found->st) != slot.identity) {
    // An upload that is going on is said to be one.
    if (archive::Writers(fd.get()).HaveItOpen()) throw Error(EIO, kBeingWritten);
    throw Error(ESTALE, Quoted(slot.path) + " is another version by now");
  }
  archive::WaitUntilSettled(slot.identity.ctime);
  auto file = open_.Adopt(std::move(fd), found->st, slot);
  // In this order: whoever begins to write after the first moves the times of the
  // second.
  if (file->IsBeingWritten()) throw Error(EIO, kBeingWritten);
  if (!IsVersion(slot, *file)) throw Error(ESTALE, Quoted(slot.path) + " is being changed");
  const std::lock_guard lock(slot.mutex);
  slot.file = file;
  return file;
}

Catalog::Index Catalog::IndexOf(Slot& slot, const archive::ArchiveFile& file) {
  const auto location = zip::FindCentralDirectory(file);
  slot.has_huge_index = OpenArchives::IsHuge(location.size);
  CheckCanOpen(slot);
  const auto turn = open_.WaitForTurn(location.size);
  auto index = std::make_unique<archive::ArchiveIndex>(file, location, LabelOf(slot));
  if (slot.record && !IsMark(slot.record->index_mark, index->Mark())) {
    throw Error(EIO, "its central directory is not what it was");
  }
  return open_.Adopt(std::move(index), slot);
}

std::shared_ptr<const by_name::NameTree> Catalog::Adopt(const Slot& slot,
                                                        std::unique_ptr<by_name::NameTree> names) {
  if (slot.record && !IsMark(slot.record->names_mark, names->Mark())) {
    throw Error(EIO, "the names are not those of before");
  }
  return open_.Adopt(std::move(names), slot);
}

Catalog::Index Catalog::ReadIndex(Slot& slot, const File& file) {
  const auto check = [&] {
    if (!IsVersion(slot, *file)) throw Error(ESTALE, Quoted(LabelOf(slot)) + " is being changed");
  };
  Index index;
  try {
    index = IndexOf(slot, *file);
  } catch (const Error& error) {
    check();  // what a changing file or a failing disk says may be different next time
    const bool is_lasting = error.code() != ENOMEM && !file->failed_to_read();
    const std::lock_guard lock(slot.mutex);
    if (is_lasting) slot.failure = error;
    slot.CloseFile();
    throw;
  }
  check();
  const std::lock_guard lock(slot.mutex);
  slot.index = index;
  return index;
}

}  // namespace skopsfs::catalog
