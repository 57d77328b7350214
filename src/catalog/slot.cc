#include "catalog/slot.h"

#include "source/source.h"

namespace skopsfs::catalog {
namespace {

using handover::NodeId;
using util::Error;
using util::MutexLock;

// Nobody but the slot has it. The slot's mutex is held, under which all copies are made.
template <typename T>
bool IsIdle(const std::shared_ptr<T>& held) {
  return held && held.use_count() == 1;
}

}  // namespace

handover::Identity SlotIdentity(const struct stat& st) {
  if (S_ISDIR(st.st_mode)) return {.device = st.st_dev, .inode = st.st_ino};
  return handover::IdentityOf(st);
}

Slot::Slot(const struct stat& root, bool root_is_folder)
    : is_folder(root_is_folder),
      st(root),
      identity(root_is_folder ? SlotIdentity(root) : handover::Identity{}) {}

Slot::Slot(handover::OwnedRecord known, std::shared_ptr<const Slot> folder)
    : record(std::move(known)),
      id(record->id),
      is_folder(S_ISDIR(record->st.st_mode)),
      parent(std::move(folder)),
      name(record->Name()),
      path(source::JoinPath(parent->path, name)),
      is_plain_file(source::IsPlainFile(path, record->st.st_mode)),
      st(record->st),
      identity(SlotIdentity(st)) {}

// --- what is open ---

void Slot::KeepLocked(DescriptorStore* store) {
  if (store == nullptr || !file_ || kept_) return;
  auto kept = std::make_shared<StoredDescriptor>(*store, id, file_->descriptor());
  if (kept->is_kept()) kept_ = std::move(kept);
}

std::pair<Slot::File, Slot::Kept> Slot::TakeOpen() {
  was_read_ = false;
  return {std::move(file_), std::move(kept_)};
}

void Slot::CloseUnread(const std::optional<Error>& forever) {
  std::pair<File, Kept> closed;  // after the lock
  const MutexLock lock(mutex_);
  if (forever) failure_ = forever;
  if (!was_read_) closed = TakeOpen();
}

void Slot::Close(const archive::ArchiveFile& file, const std::optional<Error>& forever) {
  // Destroyed after the lock.
  std::map<uint32_t, Reader> readers;
  std::pair<File, Kept> closed;
  const MutexLock lock(mutex_);
  if (file_.get() != &file) return;
  readers.swap(readers_);
  closed = TakeOpen();
  if (forever) failure_ = forever;
}

// --- members ---

Slot::Reader Slot::StartReading(uint32_t member, const File& from, Reader reader,
                                DescriptorStore* store) {
  constexpr size_t kMost = 4096;        // of a version; of more, all begin anew
  std::map<uint32_t, Reader> too_many;  // destroyed after the lock
  const MutexLock lock(mutex_);
  // It may have been closed meanwhile, as nothing was read, or opened again.
  if (!was_read_) file_ = from;
  if (file_ != from) return reader;
  was_read_ = true;
  KeepLocked(store);
  if (readers_.size() >= kMost) too_many.swap(readers_);
  return readers_.try_emplace(member, std::move(reader)).first->second;
}

Slot::Reader Slot::ReaderOf(uint32_t member) const {
  const MutexLock lock(mutex_);
  CheckNotWrong(member);
  const auto known = readers_.find(member);
  return known == readers_.end() ? nullptr : known->second;
}

void Slot::CheckNotWrong(uint32_t member) const {
  const auto bad = failed_members_.find(member);
  if (bad != failed_members_.end() && bad->second.is_wrong) throw Error(EIO, bad->second.reason);
}

std::optional<std::vector<NodeId>> Slot::MemberFailed(uint32_t member, std::string_view reason,
                                                      bool is_wrong) {
  constexpr size_t kMost = 1000;
  const MutexLock lock(mutex_);
  const auto known = failed_members_.find(member);
  if (known != failed_members_.end()) {
    if (known->second.reason == reason) return std::nullopt;
    is_wrong = is_wrong || known->second.is_wrong;
  }
  if (known != failed_members_.end() || failed_members_.size() < kMost) {
    failed_members_[member] = {std::string(reason), is_wrong};
  }
  std::vector<NodeId> stale;
  if (is_wrong) {
    stale = StopReading(member);
    stale.push_back({.slot = id, .index = member});
  }
  return stale;
}

// Arrays of an npz that was found wrong are not read on: they begin anew, and are refused.
std::vector<NodeId> Slot::StopReading(uint32_t npz_member) {
  std::vector<NodeId> stopped;
  std::erase_if(readers_, [&](const auto& item) REQUIRES(mutex_) {
    const NodeId node{.slot = id, .index = item.first};
    if (!node.is_inner()) return false;
    const auto& names = names_.made;
    if (names && names->At(names->NodeOfNpz(node.npz())).member != npz_member) return false;
    stopped.push_back(node);
    return true;
  });
  return stopped;
}

std::optional<std::string> Slot::FailureOf(uint32_t member) const {
  const MutexLock lock(mutex_);
  const auto failed = failed_members_.find(member);
  if (failed == failed_members_.end()) return std::nullopt;
  return failed->second.reason;
}

// --- names ---

Slot::Npz Slot::NpzOf(uint32_t number, uint32_t member) const {
  const MutexLock lock(mutex_);
  CheckNotWrong(member);
  const auto known = npz_.find(number);
  if (known == npz_.end()) return nullptr;
  return known->second.Get();
}

void Slot::SetNpz(uint32_t number, Made<archive::InnerArchive> npz) {
  constexpr size_t kMost = 1000;  // of a version; of more, all begin anew
  const MutexLock lock(mutex_);
  if (npz_.size() >= kMost) npz_.clear();
  npz_[number] = std::move(npz);
}

// --- for who does not wait ---

Slot::File Slot::TryKeep(DescriptorStore* store) {
  if (!mutex_.try_lock()) return nullptr;
  const MutexLock lock(mutex_, std::adopt_lock);
  KeepLocked(store);
  return file_;
}

bool Slot::TryCloseUnread() {
  std::pair<File, Kept> closed;  // after the lock
  if (!mutex_.try_lock()) return false;
  const MutexLock lock(mutex_, std::adopt_lock);
  if (was_read_ || !IsIdle(file_)) return false;
  closed = TakeOpen();
  return true;
}

void Slot::TryDropIdle() {
  if (!mutex_.try_lock()) return;
  const MutexLock lock(mutex_, std::adopt_lock);
  std::erase_if(readers_, [](const auto& item) { return IsIdle(item.second); });
  std::erase_if(npz_, [](const auto& item) { return IsIdle(item.second.made); });
  if (IsIdle(names_.made)) names_.made.reset();
  if (IsIdle(index_)) index_.reset();
}

std::optional<Slot::State> Slot::TryState() const {
  if (!mutex_.try_lock()) return std::nullopt;
  const MutexLock lock(mutex_, std::adopt_lock);
  return State{.is_open = file_ != nullptr,
               .is_read = was_read_ && file_,
               .is_in_memory = index_ || names_.made,
               .reason = WhyFailed()};
}

std::string Slot::WhyFailed() const {
  if (trouble_) return trouble_->what();
  if (failure_) return failure_->what();
  if (!failed_members_.empty()) {
    const size_t more = failed_members_.size() - 1;
    return "a member cannot be read: " + failed_members_.begin()->second.reason +
           (more > 0 ? " (and " + std::to_string(more) + " more)" : "");
  }
  if (names_.failure) return std::string("by-name: ") + names_.failure->what();
  return {};
}

}  // namespace skopsfs::catalog
