#pragma once

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "catalog/slot.h"
#include "util/mutex.h"

namespace skopsfs::catalog {

// The slots that the kernel holds ids of, by id and by name. A slot leaves the table when the
// kernel has forgotten every node of it. It owns the slots, with everybody who holds one.
// Thread-safe.
class SlotTable {
 public:
  // `root` never leaves. What a predecessor left in `store`, which must outlive this, is in the
  // table again.
  SlotTable(std::shared_ptr<Slot> root, handover::SlotStore& store);

  const std::shared_ptr<Slot>& root() const { return root_; }

  // nullptr when there is no such slot any more.
  std::shared_ptr<Slot> Get(uint64_t id) {
    const util::MutexLock lock(mutex_);
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second.slot;
  }

  // The slot for what `name` in `parent` is now, with one lookup more. When it is not what it was,
  // the old slot is superseded and a new one is made.
  std::shared_ptr<Slot> Acquire(const std::shared_ptr<Slot>& parent, const std::string& name,
                                const struct stat& st);

  // False when the slot is no longer in the table.
  bool AddLookups(Slot& slot, uint64_t count);
  // Allocates nothing, so that it works when memory has ended.
  void Forget(uint64_t id, uint64_t count) noexcept;

  std::vector<std::shared_ptr<Slot>> All();

  // The slots that came from a predecessor. Their lookups may be too many, never too few: the
  // predecessor may have died between counting and answering. So the kernel may have forgotten a
  // slot that still has lookups.
  struct Doubtful {
    uint64_t id = 0;
    uint64_t given = 0;  // for ForgetAll()
  };
  std::vector<Doubtful> Recovered();

  // The slots of files that are superseded: the kernel knows them although their names do not lead
  // to them any more, as far as that is known.
  std::vector<std::shared_ptr<Slot>> Superseded();
  // The slot's name leads to it no more, until Acquire() finds it again.
  void Supersede(Slot& slot) {
    const util::MutexLock lock(mutex_);
    if (by_id_.contains(slot.id)) SetSuperseded(slot, true);
  }

  // The kernel does not know the slot, so it leaves the table. It stays when it was given to the
  // kernel after Recovered() had told of it.
  void ForgetAll(const Doubtful& doubtful) noexcept;

  // The slot that `name` in `parent` led to when last looked at; nullptr when it is not known.
  std::shared_ptr<Slot> Current(uint64_t parent, const std::string& name) {
    const util::MutexLock lock(mutex_);
    const auto found = current_.find(std::tie(parent, name));
    return found == current_.end() ? nullptr : found->second;
  }

 private:
  struct Known {
    std::shared_ptr<Slot> slot;
    bool is_recovered = false;
    uint64_t given = 0;  // how often it was given to the kernel, a count of this process
  };
  void Recover(handover::SlotRecord* record) REQUIRES(mutex_);
  std::shared_ptr<Slot> Make(handover::SlotRecord* record, std::shared_ptr<Slot> parent);
  std::shared_ptr<Slot> Remove(uint64_t id) noexcept REQUIRES(mutex_);
  void SetSuperseded(Slot& slot, bool superseded) REQUIRES(mutex_);

  handover::SlotStore& store_;
  const std::shared_ptr<Slot> root_;
  // No mutex is taken while it is held but that of the SlotStore.
  util::Mutex mutex_;
  size_t recovered_ GUARDED_BY(mutex_) = 0;
  size_t superseded_ GUARDED_BY(mutex_) = 0;
  std::unordered_map<uint64_t, Known> by_id_ GUARDED_BY(mutex_);
  // By parent and name. To look one up with std::tie() takes no memory.
  std::map<std::tuple<uint64_t, std::string>, std::shared_ptr<Slot>, std::less<>> current_
      GUARDED_BY(mutex_);
};

}  // namespace skopsfs::catalog
