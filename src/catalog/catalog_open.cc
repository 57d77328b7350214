// The part of Catalog that opens archives.

#include "archive/writer_detector.h"
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

// Who may not read such a member is refused by the kernel, and asks nobody for the reason.
void TellUnreadable(const std::string& label, const archive::ArchiveIndex& index) {
  constexpr size_t kMostLines = 20;  // a hostile archive has millions
  size_t lines = 0;
  for (uint32_t i = 0; i < index.node_count() && lines < kMostLines; ++i) {
    const auto* const entry = index.EntryOf(i);
    if (entry == nullptr || index.node(i).is_directory) continue;
    const auto refusal = archive::RefusalOf(*entry);
    if (!refusal) continue;
    util::LogWarning("{}: member {} cannot be read: {}", Quoted(label), Quoted(index.PathOf(i)),
                     refusal->what());
    ++lines;
  }
}

// Another file than an archive needs none.
bool LacksIndex(const Slot& slot, const OpenArchive& open) {
  return !open.index && !slot.is_plain_file;
}

void CheckCanOpen(const Slot& slot) {
  if (slot.has_huge_index) {
    util::CheckEffort(Effort::kHuge, util::kHugeIndexes);
  } else {
    util::CheckEffort(Effort::kOpen, slot.id);
  }
}

}  // namespace

const std::string* Catalog::QuarantineOf(const Slot& slot) const {
  for (const auto& [identity, reason] : quarantined_) {
    if (slot.identity == identity) return &reason;
  }
  return nullptr;
}

OpenArchive Catalog::Open(const std::shared_ptr<Slot>& slot, bool as_named) {
  slot->CheckUsable();
  try {
    if (const auto* const reason = QuarantineOf(*slot)) throw Error(EIO, *reason);
    auto open = slot->open();
    if (open.file && as_named && !IsStillNamed(*slot, open.file)) open.file.reset();
    if (!open.file || LacksIndex(*slot, open)) open = OpenNow(slot, as_named);
    open_.Used(slot);
    slot->SetTrouble(std::nullopt);
    return open;
  } catch (const Error& error) {
    throw Failed(*slot, error);
  } catch (const std::bad_alloc&) {
    throw Failed(*slot, Error(ENOMEM, "out of memory"));
  }
}

// Throws util::Error(ESTALE) when the name leads to another version by now. Whatever else is
// against it, its first read says.
void Catalog::OpenPlainFile(const std::shared_ptr<Slot>& slot) {
  constexpr size_t kMost = 200;
  const bool has_room = open_.open_files() < open_.budget().descriptors / 2;
  if (!has_room || QuarantineOf(*slot) != nullptr) return;
  try {
    const auto file = slot->file();
    if (file && IsStillNamed(*slot, file)) return open_.Used(slot);
    OpenNow(slot, true);
  } catch (const Error& error) {
    if (error.code() == ESTALE) throw Failed(*slot, error);
    return;
  }
  std::shared_ptr<Slot> oldest;
  {
    const util::MutexLock lock(plain_files_mutex_);
    plain_files_.push_back(slot);
    if (plain_files_.size() <= kMost) return;
    oldest = plain_files_.front().lock();
    plain_files_.pop_front();
  }
  if (oldest && oldest != slot) oldest->CloseUnread(std::nullopt);
}

Error Catalog::Failed(Slot& slot, const Error& error) {
  if (error.code() == ESTALE) {
    replaced_.Add(slot.path);
    slots_.Supersede(slot);  // so that the kernel lets go of its name, whoever asks for that
    return error;
  }
  slot.SetTrouble(error);
  util::LogError("{}: cannot be opened: {}", Quoted(LabelOf(slot)), error.what());
  return error;
}

// Whether what is open still is what the name leads to. Throws when it is another version, or one
// that is being made; what can not be looked at any more is closed.
bool Catalog::IsStillNamed(Slot& slot, const File& file) {
  try {
    // What was found to be replaced stays so, unless it is kept for a moment, see ReplacedNames.
    const bool is_old = slot.superseded && !replaced_.Kept(slot.id);
    if (!is_old && IsVersion(slot, *file)) return true;
  } catch (const Error& error) {
    if (!LetGoOfDead(slot, *file, error.code())) throw;
    return false;
  }
  if (file->IsSeenWritten()) throw Error(EIO, kBeingWritten);
  slots_.Supersede(slot);
  throw Error(ESTALE, Quoted(slot.path) + " is another version by now");
}

OpenArchive Catalog::OpenNow(const std::shared_ptr<Slot>& slot, bool as_named) {
  CheckCanOpen(*slot);
  return slot->WhileOpening([&] {
    auto open = slot->open();  // who was here before may have opened it
    if (!open.file) {
      open.file = OpenFile(*slot);
      open_.Used(slot);  // to be closed again should reading its index have to wait
    }
    if (LacksIndex(*slot, open)) open.index = ReadIndex(*slot, open.file, as_named);
    slot->Keep(descriptors_);
    return open;
  });
}

Catalog::File Catalog::OpenFile(Slot& slot) {
  const auto kept = replaced_.Kept(slot.id);
  const auto found = kept ? kept : std::make_shared<const source::Found>(OpenAgain(slot));
  if (!S_ISREG(found->st.st_mode)) {
    throw Error(ESTALE, Quoted(slot.path) + " is no longer an archive");
  }
  util::UniqueFd fd = source::Source::OpenForReading(*found);
  if (handover::IdentityOf(found->st) != slot.identity) {
    // An upload that is going on is said to be one.
    if (archive::WriterDetector(fd.get()).HasWriter()) throw Error(EIO, kBeingWritten);
    throw Error(ESTALE, Quoted(slot.path) + " is another version by now");
  }
  archive::WaitUntilSettled(slot.identity.ctime);
  auto file = open_.Adopt(std::move(fd), found->st, slot);
  // In this order: whoever begins to write after the first moves the times of the
  // second.
  if (file->IsBeingWritten()) throw Error(EIO, kBeingWritten);
  if (!IsVersion(slot, *file)) throw Error(ESTALE, Quoted(slot.path) + " is being changed");
  slot.SetFile(file);
  return file;
}

Catalog::Index Catalog::IndexOf(Slot& slot, const archive::ArchiveFile& file) {
  const auto location = zip::FindCentralDirectory(file);
  slot.has_huge_index = OpenArchives::IsHuge(location.size);
  CheckCanOpen(slot);
  const auto turn = open_.LockIfHuge(location.size);
  auto index = std::make_unique<archive::ArchiveIndex>(file, location, LabelOf(slot));
  if (slot.record) {
    if (!handover::IsMark(slot.record->index_mark, index->Fingerprint())) {
      throw Error(EIO, "its central directory has changed");
    }
    slot.record->members = index->node_count();
  }
  return open_.Adopt(std::move(index), slot);
}

Slot::Names Catalog::Adopt(const Slot& slot, std::unique_ptr<by_name::NameTree> names) {
  if (slot.record) {
    if (!handover::IsMark(slot.record->names_mark, names->Fingerprint())) {
      throw Error(EIO, "the names have changed");
    }
    slot.record->names = names->size();
    slot.record->npz = names->npz_count();
  }
  return open_.Adopt(std::move(names), slot);
}

Catalog::Index Catalog::ReadIndex(Slot& slot, const File& file, bool as_named) {
  const auto check = [&] {
    if (!as_named) {
      file->CheckUnchanged();
    } else if (!IsVersion(slot, *file)) {
      throw Error(ESTALE, Quoted(LabelOf(slot)) + " is being changed");
    }
  };
  const bool is_first = !slot.record || slot.record->index_mark == 0;
  Index index;
  try {
    index = IndexOf(slot, *file);
  } catch (const Error& error) {
    check();  // what a changing file or a failing disk says may be different next time
    const bool is_lasting = error.code() != ENOMEM && !file->failed_to_read();
    slot.CloseUnread(is_lasting ? std::optional(error) : std::nullopt);
    throw;
  }
  check();
  if (is_first) TellUnreadable(LabelOf(slot), *index);  // not each time that memory was short
  slot.SetIndex(index);
  return index;
}

}  // namespace skopsfs::catalog
