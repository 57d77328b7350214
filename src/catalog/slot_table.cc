#include "catalog/slot_table.h"

#include "catalog/source.h"

namespace skopsfs::catalog {

archive::Identity SlotIdentity(const struct stat& st) {
  if (S_ISDIR(st.st_mode)) return {.device = st.st_dev, .inode = st.st_ino};
  return archive::IdentityOf(st);
}

SlotTable::SlotTable(std::shared_ptr<Slot> root) : root_(std::move(root)) {
  by_id_.emplace(root_->id, root_);
}

std::shared_ptr<Slot> SlotTable::Get(uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

std::shared_ptr<Slot> SlotTable::Acquire(const std::shared_ptr<Slot>& parent,
                                         const std::string& name, const struct stat& st,
                                         std::shared_ptr<Slot>& replaced) {
  const archive::Identity identity = SlotIdentity(st);
  const bool is_folder = S_ISDIR(st.st_mode);
  const std::lock_guard lock(mutex_);
  auto& current = current_[{parent->id, name}];
  // The mode of an archive counts too: what a link's way allows may change without the file.
  const bool same = current && current->identity == identity &&
                    (is_folder ? current->is_folder : current->st.st_mode == st.st_mode);
  if (same) {
    ++current->lookups;
    return current;
  }
  if (current) {
    current->superseded = true;
    replaced = current;
  }
  auto slot = std::make_shared<Slot>();
  slot->id = next_id_++;
  slot->is_folder = is_folder;
  slot->parent = parent;
  slot->name = name;
  slot->path = JoinPath(parent->path, name);
  slot->identity = identity;
  slot->st = st;
  slot->lookups = 1;
  by_id_.emplace(slot->id, slot);
  current = slot;
  return slot;
}

bool SlotTable::AddLookups(Slot& slot, uint64_t count) {
  const std::lock_guard lock(mutex_);
  if (!by_id_.contains(slot.id)) return false;
  slot.lookups += count;
  return true;
}

void SlotTable::Forget(uint64_t id, uint64_t count) {
  std::shared_ptr<Slot> gone;  // destroyed after the lock: it may close a file
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end() || found->second == root_) return;
  Slot& slot = *found->second;
  slot.lookups -= std::min(slot.lookups, count);
  if (slot.lookups > 0) return;
  gone = std::move(found->second);
  by_id_.erase(found);
  const auto current = current_.find({gone->parent->id, gone->name});
  if (current != current_.end() && current->second == gone) current_.erase(current);
}

size_t SlotTable::size() {
  const std::lock_guard lock(mutex_);
  return by_id_.size();
}

}  // namespace skopsfs::catalog
