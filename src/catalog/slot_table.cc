#include "catalog/slot_table.h"

#include <algorithm>

namespace skopsfs::catalog {

using util::MutexLock;

SlotTable::SlotTable(std::shared_ptr<Slot> root, handover::SlotStore& store)
    : store_(store), root_(std::move(root)) {
  by_id_.emplace(root_->id, Known{root_});
  for (handover::SlotRecord* record : store_.Recover()) Recover(record);
  // Drops those that the kernel does not know. The parents among them are kept by their children.
  std::erase_if(by_id_, [&](const auto& item) REQUIRES(mutex_) {
    const auto& slot = item.second.slot;
    const bool is_known = slot == root_ || slot->record->lookups > 0;
    if (!is_known && slot->superseded) --superseded_;
    return !is_known;
  });
  recovered_ = by_id_.size() - 1;
}

void SlotTable::Recover(handover::SlotRecord* record) {
  auto slot = Make(record, by_id_.find(record->parent)->second.slot);
  by_id_.emplace(slot->id, Known{slot, true});
  if (record->superseded != 0) SetSuperseded(*slot, true);
  if (slot->superseded || record->lookups == 0) return;
  // The predecessor may have died between making this one and superseding the other.
  auto& current = current_[{record->parent, slot->name}];
  if (current) SetSuperseded(*current, true);
  current = std::move(slot);
}

void SlotTable::SetSuperseded(Slot& slot, bool superseded) {
  if (slot.superseded.exchange(superseded) != superseded)
    superseded ? ++superseded_ : --superseded_;
  slot.record->superseded = superseded ? 1 : 0;
}

std::shared_ptr<Slot> SlotTable::Make(handover::SlotRecord* record, std::shared_ptr<Slot> parent) {
  return std::make_shared<Slot>(handover::OwnedRecord(record, {&store_}), std::move(parent));
}

std::shared_ptr<Slot> SlotTable::Acquire(const std::shared_ptr<Slot>& parent,
                                         const std::string& name, const struct stat& st) {
  const handover::Identity identity = SlotIdentity(st);
  const bool is_folder = S_ISDIR(st.st_mode);
  const MutexLock lock(mutex_);
  const auto [known, is_new] = current_.try_emplace({parent->id, name});
  auto& current = known->second;
  // The mode of an archive counts too: what a link's way allows may change without the file.
  const bool same = current && current->identity == identity &&
                    (is_folder ? current->is_folder : current->st.st_mode == st.st_mode);
  if (same) {
    if (current->superseded) SetSuperseded(*current, false);
    ++current->record->lookups;
    ++by_id_.at(current->id).given;
    return current;
  }
  try {
    auto slot = Make(store_.Add(parent->id, name, st), parent);
    by_id_.emplace(slot->id, Known{slot});
    if (current) SetSuperseded(*current, true);
    return current = slot;
  } catch (...) {
    if (is_new) current_.erase(known);
    throw;
  }
}

bool SlotTable::AddLookups(Slot& slot, uint64_t count) {
  const MutexLock lock(mutex_);
  const auto known = by_id_.find(slot.id);
  if (known == by_id_.end()) return false;
  slot.record->lookups += count;
  ++known->second.given;
  return true;
}

void SlotTable::Forget(uint64_t id, uint64_t count) noexcept {
  std::shared_ptr<Slot> gone;  // destroyed after the lock: it may close a file
  const MutexLock lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end() || found->second.slot == root_) return;
  auto& lookups = found->second.slot->record->lookups;
  lookups -= std::min(lookups.load(), count);
  if (lookups == 0) gone = Remove(id);
}

std::shared_ptr<Slot> SlotTable::Remove(uint64_t id) noexcept {
  auto known = std::move(by_id_.extract(id).mapped());
  auto& slot = known.slot;
  if (known.is_recovered) --recovered_;
  if (slot->superseded) --superseded_;
  const auto current = current_.find(std::tie(slot->parent->id, slot->name));
  if (current != current_.end() && current->second == slot) current_.erase(current);
  return std::move(slot);
}

std::vector<std::shared_ptr<Slot>> SlotTable::All() {
  const MutexLock lock(mutex_);
  std::vector<std::shared_ptr<Slot>> all;
  all.reserve(by_id_.size());
  for (const auto& [id, known] : by_id_) all.push_back(known.slot);
  return all;
}

std::vector<SlotTable::Doubtful> SlotTable::Recovered() {
  const MutexLock lock(mutex_);
  std::vector<Doubtful> found;
  if (recovered_ == 0) return found;
  for (const auto& [id, known] : by_id_) {
    if (known.is_recovered) found.push_back({id, known.given});
  }
  return found;
}

std::vector<std::shared_ptr<Slot>> SlotTable::Superseded() {
  const MutexLock lock(mutex_);
  std::vector<std::shared_ptr<Slot>> found;
  if (superseded_ == 0) return found;
  found.reserve(superseded_);
  for (const auto& [id, known] : by_id_) {
    const auto& slot = known.slot;
    if (slot->superseded && !slot->is_folder) found.push_back(slot);
  }
  return found;
}

void SlotTable::ForgetAll(const Doubtful& doubtful) noexcept {
  std::shared_ptr<Slot> gone;
  const MutexLock lock(mutex_);
  const auto found = by_id_.find(doubtful.id);
  if (found == by_id_.end() || found->second.given != doubtful.given) return;
  gone = Remove(doubtful.id);
}

}  // namespace skopsfs::catalog
