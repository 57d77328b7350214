#include "catalog/catalog.h"

#include <tuple>

#include "util/error.h"
#include "util/log.h"

namespace skopsfs::catalog {
namespace {

using util::Error;
using util::Quoted;

std::shared_ptr<Slot> RootSlot(const Source& source) {
  auto root = std::make_shared<Slot>();
  const Found found = source.OpenRoot();
  root->is_folder = !source.is_single_archive();
  root->st = found.st;
  if (root->is_folder) root->identity = SlotIdentity(found.st);
  return root;
}

// Whether what is open there is another version than its name leads to.
bool IsOldVersion(const Slot& slot, const archive::ArchiveFile& file) {
  try {
    return slot.superseded || !file.IsCurrent();
  } catch (const Error&) {
    return true;  // it cannot even be looked at
  }
}

}  // namespace

Catalog::Catalog(Source source, const OpenArchives::Budget& budget,
                 std::unique_ptr<SlotStore> store, DescriptorKeeper* keeper)
    : source_(std::move(source)),
      keeper_(keeper),
      open_(budget),
      store_(std::move(store)),
      slots_(RootSlot(source_), *store_) {
  // The lookup that the catalogue keeps on it is among those that were recovered.
  if (source_.is_single_archive()) single_ = slots_.Current(0, "");
}

void Catalog::Inherit(InheritedDescriptor descriptor) {
  auto kept = std::make_shared<KeptDescriptor>(*keeper_, descriptor.number);
  const auto slot = Get(descriptor.slot_id);
  // Nor is it needed when the predecessor was only about to close it.
  if (!slot || (slot->record && slot->record->handles == 0)) return;
  slot->inherited = open_.AdoptInherited(std::move(descriptor.fd), slot->st);
  slot->inherited_kept = std::move(kept);
  const std::lock_guard lock(inherited_mutex_);
  inherited_.push_back(slot);
}

bool Catalog::IsOld(uint64_t slot_id) {
  const auto slot = Get(slot_id);
  if (!slot) return false;
  const auto file = [&] {
    const std::lock_guard lock(slot->mutex);
    return slot->file;
  }();
  return file ? IsOldVersion(*slot, *file) : slot->superseded.load();
}

std::vector<std::shared_ptr<Slot>> Catalog::InheritedOldVersions() {
  const std::lock_guard lock(inherited_mutex_);
  std::vector<std::shared_ptr<Slot>> old;
  std::erase_if(inherited_, [&](const auto& inherited) {
    auto slot = inherited.lock();
    if (!slot) return true;
    const auto file = [&] {
      const std::lock_guard slot_lock(slot->mutex);
      return slot->inherited;
    }();
    if (file && IsOldVersion(*slot, *file)) old.push_back(slot);
    return !file;
  });
  return old;
}

std::set<uint64_t> Catalog::OldVersionsOfPredecessors() {
  const auto superseded = slots_.RecoveredOld();
  std::set<uint64_t> ids(superseded.begin(), superseded.end());
  for (const auto& slot : InheritedOldVersions()) ids.insert(slot->id);
  return ids;
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

Found Catalog::OpenRoot() const {
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

Found Catalog::OpenAgain(const Slot& slot) const {
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

Found Catalog::OpenFolder(const Slot& slot) const {
  Found found = OpenAgain(slot);
  if (!found.is_folder() || SlotIdentity(found.st) != slot.identity) {
    throw Error(ESTALE, Quoted(slot.path) + " is not the folder it was");
  }
  return found;
}

struct stat Catalog::StatFolder(const Slot& slot) const {
  if (!slot.parent) return OpenRoot().st;
  const auto found = Examine(*slot.parent, OpenFolder(*slot.parent), slot.name);
  if (!found || SlotIdentity(found->st) != slot.identity) {
    throw Error(ESTALE, Quoted(slot.path) + " is not the folder it was");
  }
  return found->st;
}

std::optional<Found> Catalog::Examine(const Slot& folder, const Found& open,
                                      const std::string& name) const {
  auto found = source_.OpenChild(open, folder.path, name);
  if (!found || !found->is_folder()) return found;
  const auto identity = SlotIdentity(found->st);
  for (const Slot* above = &folder; above != nullptr; above = above->parent.get()) {
    if (above->identity != identity) continue;
    util::LogWarning("{}: not shown: the symbolic link leads to a folder that it lies in",
                     Quoted(JoinPath(folder.path, name)));
    return std::nullopt;
  }
  return found;
}

std::optional<struct stat> Catalog::Glance(const Slot& folder, const Found& open,
                                           const std::string& name) const {
  if (const auto st = source_.StatArchive(open, name)) return st;
  const auto found = Examine(folder, open, name);
  return found ? std::optional(found->st) : std::nullopt;
}

std::shared_ptr<Slot> Catalog::Acquire(const std::shared_ptr<Slot>& folder, const std::string& name,
                                       const Found& found) {
  std::shared_ptr<Slot> replaced;
  auto slot = slots_.Acquire(folder, name, found.st, replaced);
  replaced_.Keep(slot->path, slot->id, found);
  if (replaced) {
    // Its descriptor goes now, unless open handles hold the file; or a little later, when somebody
    // is reading its central directory just now.
    const std::unique_lock lock(replaced->mutex, std::try_to_lock);
    if (lock) replaced->CloseFile();
  }
  return slot;
}

std::shared_ptr<Slot> Catalog::SingleArchive() {
  try {
    return FindSingleArchive();
  } catch (const Error& error) {
    util::LogError("{}: cannot be looked up: {}", Quoted(source_.path()), error.what());
    throw;
  }
}

std::shared_ptr<Slot> Catalog::FindSingleArchive() {
  const Found found = OpenRoot();
  if (!S_ISREG(found.st.st_mode)) throw Error(EIO, "the source is no longer a regular file");
  const std::lock_guard lock(single_mutex_);
  auto slot = Acquire(root(), "", found);
  // One lookup is ours: give back that of the version before, or the second one on this.
  if (single_) slots_.Forget(single_->id, 1);
  single_ = slot;
  return slot;
}

std::shared_ptr<const KeptDescriptor> Catalog::Keep(Slot& slot, const archive::ArchiveFile& file) {
  if (keeper_ == nullptr) return nullptr;
  const std::lock_guard lock(slot.mutex);
  if (slot.inherited_kept) return slot.inherited_kept;
  const bool is_open = slot.file.get() == &file;
  if (is_open && slot.kept) return slot.kept;
  auto kept = std::make_shared<KeptDescriptor>(*keeper_, slot.id, file.descriptor());
  if (!kept->is_kept()) return nullptr;
  if (is_open) slot.kept = kept;
  return kept;
}

void Catalog::CountHandle(Slot& slot) {
  if (slot.record) ++slot.record->handles;
}

void Catalog::DropHandle(Slot& slot) {
  if (!slot.record) return;
  uint64_t handles = slot.record->handles;
  while (handles > 0 && !slot.record->handles.compare_exchange_weak(handles, handles - 1)) {
  }
}

void Catalog::LetGoOfInherited() {
  // Destroyed after the locks: the filesystem of what is closed may be asked, and the keeper is
  // told.
  std::vector<std::tuple<std::shared_ptr<Slot>, File, std::shared_ptr<const KeptDescriptor>>>
      closed;
  const std::lock_guard lock(inherited_mutex_);
  std::erase_if(inherited_, [&](const auto& inherited) {
    auto slot = inherited.lock();
    if (!slot || !slot->record) return true;
    const std::unique_lock slot_lock(slot->mutex, std::try_to_lock);
    if (!slot_lock || slot->record->handles > 0) return false;
    closed.emplace_back(slot, std::move(slot->inherited), std::move(slot->inherited_kept));
    return true;
  });
}

// Of a single archive the kernel knows members only, which tell nothing about the slot.
std::vector<SlotTable::Doubtful> Catalog::Doubtful() {
  if (source_.is_single_archive()) return {};
  return slots_.Recovered();
}

std::string Catalog::LabelOf(const Slot& slot) const {
  return slot.path.empty() ? source_.path() : slot.path;
}

}  // namespace skopsfs::catalog
