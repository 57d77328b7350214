#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "handover/identity.h"
#include "util/mutex.h"
#include "util/shared_memory.h"
#include "util/unique_fd.h"

namespace skopsfs::handover {

// A slot, in memory that the next worker maps. What is not atomic is written before the record goes
// live, and never after.
struct SlotRecord {
  static constexpr uint32_t kLive = 0x4c495645;

  std::atomic<uint32_t> state;  // kLive, or else the record is free or half-written
  std::atomic<uint32_t> superseded;
  std::atomic<uint64_t> lookups;
  std::atomic<uint64_t> index_mark;  // see ArchiveIndex::Fingerprint(); 0: not known yet
  std::atomic<uint64_t> names_mark;  // the same of its NameTree
  // How many nodes it may have, as far as is known: of its index, of its names, and the npz there.
  std::atomic<uint32_t> members;
  std::atomic<uint32_t> names;
  std::atomic<uint32_t> npz;
  uint64_t id;         // also of one that is not live: the last that it had
  uint64_t id_turned;  // the same with each bit turned, so that damage is seen
  uint64_t parent;
  uint64_t made;  // how many records had been by then: parents come before their children
  struct stat st;
  uint32_t name_size;
  char name[255];

  void SetId(uint64_t number) {
    id = number;
    id_turned = ~number;
  }
  // New memory is all zeros.
  bool HadNoId() const { return id == 0 && id_turned == 0; }
  bool IdIsSound() const { return id_turned == ~id; }

  std::string_view Name() const { return {name, name_size}; }
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// Whether a record's `known` mark is `mark`, which it becomes if nothing was known.
inline bool IsMark(std::atomic<uint64_t>& known, uint64_t mark) {
  uint64_t before = 0;
  return known.compare_exchange_strong(before, mark) || before == mark;
}

// The records of all slots, in memory that outlives the worker. The next worker maps it, and finds
// there what the kernel holds node ids of. A worker that dies while it writes leaves a record that
// is not live, and so is free. Workers map the memory one after the other. Two never write at the
// same time. Owns the mapping. Thread-safe.
class SlotStore {
 public:
  static constexpr uint32_t kMostSlots = 1U << 22;
  static constexpr uint64_t kMostIds = (uint64_t{1} << 35) - 1;  // NodeId has no room for more

  // New memory for a store, to be made by the supervisor. Workers cannot shrink it.
  static util::UniqueFd MakeMemory();

  // What the records say of a slot, for the supervisor. It does not trust them, so it maps none.
  struct Seen {
    uint64_t id = 0;
    std::string path;
    Identity identity;
    bool is_folder = false;
  };
  // Nothing when there is no such slot. The slot 0 of a source that is one archive stands for its
  // present version. Reads at most 64 folders above it.
  static std::optional<Seen> Read(int memory, uint64_t id);

  // Throws util::Error when the memory holds something else than a store of this layout.
  explicit SlotStore(const util::UniqueFd& memory = MakeMemory());

  // The live records in the memory, parents before children. Those that make no sense are made
  // free. How many is logged.
  std::vector<SlotRecord*> Recover();

  // A new live record with one lookup, and an id that no slot ever had. Throws util::Error(ENFILE)
  // when there are too many.
  SlotRecord* Add(uint64_t parent, std::string_view name, const struct stat& st);
  void Remove(SlotRecord* record) noexcept;

  // From Hold() until Release(), Remove() does nothing. A worker that fails while it takes over has
  // to leave everything to the next one.
  void Hold() { held_ = true; }
  void Release() { held_ = false; }

 private:
  struct Header;

  SlotRecord* At(uint32_t number) const;
  SlotRecord* Take() REQUIRES(mutex_);
  bool IsSound(const SlotRecord& record) const;

  const util::SharedMapping mapping_;
  Header* const header_;
  std::atomic<bool> held_ = false;
  // Guards the counts of the header, too. The last lock: whoever takes it may hold any other, and
  // takes none after it but that of the log.
  util::Mutex mutex_;
  std::vector<uint32_t> free_ GUARDED_BY(mutex_);
};

// A record that is removed with its owner.
struct RemoveRecord {
  SlotStore* store = nullptr;
  void operator()(SlotRecord* record) const noexcept { store->Remove(record); }
};
using OwnedRecord = std::unique_ptr<SlotRecord, RemoveRecord>;

}  // namespace skopsfs::handover
