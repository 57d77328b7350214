#include "catalog/catalog.h"

#include <algorithm>
#include <chrono>

#include "util/error.h"
#include "util/log.h"

namespace skopsfs::catalog {
namespace {

using util::Error;
using util::Quoted;

// Whether what is open there was replaced, unlinked or changed. Of what cannot be looked at just
// now that is not known.
bool HasChanged(const archive::ArchiveFile& file) {
  try {
    return !file.HasItsTimes();
  } catch (const Error& error) {
    return error.code() == ESTALE || error.code() == ENOENT;
  }
}

}  // namespace

Catalog::Catalog(source::Source source, const OpenArchives::Budget& budget,
                 std::unique_ptr<handover::SlotStore> store, DescriptorStore* descriptors)
    : source_(std::move(source)),
      descriptors_(descriptors),
      open_(budget),
      store_(std::move(store)),
      slots_(std::make_shared<Slot>(source_.OpenRoot().st, !source_.is_single_archive()), *store_) {
  // The lookup that the catalogue keeps on it is among those that were recovered.
  if (source_.is_single_archive()) single_ = slots_.Current(0, "");
}

void Catalog::Inherit(InheritedDescriptor descriptor) {
  auto kept = std::make_shared<StoredDescriptor>(*descriptors_, descriptor.number);
  const auto slot = slots_.Get(descriptor.slot_id);
  if (!slot || slot->file() || QuarantineOf(*slot) != nullptr) return;
  slot->Inherit(open_.AdoptInherited(std::move(descriptor.fd), slot->st), std::move(kept));
  open_.Used(slot);
}

void Catalog::LookAtOpenFiles() {
  constexpr size_t kMostLooks = 4096;
  constexpr auto kPatience = std::chrono::milliseconds(200);
  auto slots = open_.Slots();
  std::sort(slots.begin(), slots.end(), [](auto& a, auto& b) { return a->id < b->id; });
  const auto next = std::upper_bound(slots.begin(), slots.end(), looked_at_,
                                     [](uint64_t id, auto& slot) { return id < slot->id; });
  std::rotate(slots.begin(), next, slots.end());
  if (slots.size() > kMostLooks) slots.resize(kMostLooks);
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  for (const auto& slot : slots) {
    looked_at_ = slot->id;
    const auto file = slot->file();
    if (file && !slot->superseded && HasChanged(*file)) slots_.Supersede(*slot);
    if (std::chrono::steady_clock::now() > give_up) break;
  }
  // That of a single archive is not to be held by the catalogue alone.
  const util::MutexLock lock(single_mutex_);
  if (single_ && single_->superseded) {
    slots_.Forget(single_->id, 1);
    single_.reset();
  }
}

// Runs `call`, which looks at the source itself, and notes when that is gone.
template <typename Call>
auto Catalog::AskingSource(const Call& call) const {
  try {
    return call();
  } catch (const Error& error) {
    const int code = error.code();
    if (code == ENOTCONN || code == ECONNABORTED || code == ESTALE) source_is_gone_ = true;
    // For a name below, ESTALE says to look it up again; here there is nothing to look up.
    if (code == ESTALE) throw Error(EIO, error.what());
    throw;
  }
}

source::Found Catalog::OpenRoot() const {
  return AskingSource([&] { return source_.OpenRoot(); });
}

void Catalog::CheckSource() const {
  AskingSource([&] { source_.CheckReadable(); });
}

bool Catalog::SourceIsGone() {
  if (!source_is_gone_.exchange(false)) return false;
  try {
    OpenRoot();
  } catch (const Error&) {
    // It is noted again.
  }
  return source_is_gone_.exchange(false);
}

source::Found Catalog::OpenAgain(const Slot& slot) const {
  if (slot.path.empty()) return OpenRoot();
  try {
    return source_.Open(slot.path);
  } catch (const Error& error) {
    for (const int gone : {ENOENT, ENOTDIR, EXDEV, ELOOP, EDEADLK}) {
      if (error.code() == gone) throw Error(ESTALE, error.what());
    }
    throw;
  }
}

source::Found Catalog::OpenFolder(const Slot& slot) const {
  source::Found found = OpenAgain(slot);
  if (!found.is_folder() || SlotIdentity(found.st) != slot.identity) {
    throw Error(ESTALE, Quoted(slot.path) + " is not the folder it was");
  }
  return found;
}

struct stat Catalog::StatFolder(const Slot& slot) const {
  if (!slot.parent) return OpenRoot().st;
  const auto found = FindChild(*slot.parent, OpenFolder(*slot.parent), slot.name);
  if (!found || SlotIdentity(found->st) != slot.identity) {
    throw Error(ESTALE, Quoted(slot.path) + " is not the folder it was");
  }
  return found->st;
}

std::optional<source::Found> Catalog::FindChild(const Slot& folder, const source::Found& open,
                                                const std::string& name) const {
  auto found = source_.OpenChild(open, folder.path, name);
  if (!found || !found->is_folder()) return found;
  const auto identity = SlotIdentity(found->st);
  for (const Slot* above = &folder; above != nullptr; above = above->parent.get()) {
    if (above->identity != identity) continue;
    util::LogWarning("{}: not shown: the symbolic link leads to a folder that contains it",
                     Quoted(source::JoinPath(folder.path, name)));
    return std::nullopt;
  }
  return found;
}

std::optional<struct stat> Catalog::StatChild(const Slot& folder, const source::Found& open,
                                              const std::string& name) const {
  if (const auto st = source_.StatFile(open, name)) return st;
  const auto found = FindChild(folder, open, name);
  return found ? std::optional(found->st) : std::nullopt;
}

// With one lookup more.
std::shared_ptr<Slot> Catalog::Acquire(const std::shared_ptr<Slot>& folder, const std::string& name,
                                       const source::Found& found) {
  auto slot = slots_.Acquire(folder, name, found.st);
  replaced_.Keep(slot->path, slot->id, found);
  return slot;
}

std::optional<Catalog::Child> Catalog::LookupListed(const std::shared_ptr<Slot>& folder,
                                                    const source::Found& open,
                                                    const std::string& name) {
  const auto found = FindChild(*folder, open, name);
  if (!found) return std::nullopt;
  return Child{Acquire(folder, name, *found), found->st};
}

std::optional<Catalog::Child> Catalog::Lookup(const std::shared_ptr<Slot>& folder,
                                              const std::string& name) {
  auto child = LookupListed(folder, OpenFolder(*folder), name);
  if (!child) {
    // What was there before is an old version, unless it comes back.
    if (const auto old = slots_.Current(folder->id, name)) slots_.Supersede(*old);
  } else if (child->slot->is_plain_file) {
    try {
      OpenPlainFile(child->slot);
    } catch (...) {
      slots_.Forget(child->slot->id, 1);
      throw;
    }
  }
  return child;
}

std::shared_ptr<Slot> Catalog::SingleArchive() {
  try {
    const source::Found found = OpenRoot();
    if (!S_ISREG(found.st.st_mode)) throw Error(EIO, "the source is no longer a regular file");
    const util::MutexLock lock(single_mutex_);
    auto slot = Acquire(root(), "", found);
    // One lookup is ours: give back that of the version before, or the second one on this.
    if (single_) slots_.Forget(single_->id, 1);
    return single_ = slot;
  } catch (const Error& error) {
    util::LogError("{}: cannot be looked up: {}", Quoted(source_.path()), error.what());
    throw;
  }
}

void Catalog::Tidy() {
  open_.Tidy(descriptors_);
  replaced_.Tidy();
  if (descriptors_ != nullptr) descriptors_->TryAgain();
}

bool Catalog::LetGoOfDead(Slot& slot, const archive::ArchiveFile& file, int code) {
  for (const int dead : {ENOTCONN, ECONNABORTED, ESTALE, ENODEV}) {
    if (code == dead) return slot.Close(file, std::nullopt), true;
  }
  return false;
}

void Catalog::LetGoOfChanged(Slot& slot) {
  const auto file = slot.file();
  if (!file || file->IsSeenWritten()) return;
  try {
    file->CheckUnchanged();
  } catch (const Error& error) {
    slot.Close(*file, error);
  }
}

// The present version of a single archive is never in doubt: the catalogue has a lookup on it.
std::vector<SlotTable::Doubtful> Catalog::Doubtful() {
  auto doubtful = slots_.Recovered();
  if (source_.is_single_archive()) {
    const auto present = slots_.Current(0, "");
    std::erase_if(doubtful, [&](const auto& slot) { return present && slot.id == present->id; });
  }
  return doubtful;
}

}  // namespace skopsfs::catalog
