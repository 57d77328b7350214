#include "handover/slot_store.h"

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstring>
#include <unordered_map>

#include "util/error.h"
#include "util/log.h"

namespace skopsfs::handover {

using util::Error;

// At the front of the memory. New memory is all zeros.
struct SlotStore::Header {
  static constexpr uint64_t kMagic = 0x35746f6c73706b73;  // "skpslot5": it is such memory

  std::atomic<uint64_t> magic;
  uint64_t record_size;
  std::atomic<uint64_t> made;     // records, ever
  std::atomic<uint64_t> present;  // id of the last version of a source that is one archive
  std::atomic<uint32_t> used;     // records that were ever used, all at the front
};

namespace {

constexpr size_t kHeaderSize = 4096;
constexpr int kDeepest = 2048;  // folders in each other: paths have no room for more
constexpr size_t kMemorySize = kHeaderSize + sizeof(SlotRecord) * SlotStore::kMostSlots;

// An id says where its record is, so that one is found without a search.
uint32_t NumberOf(uint64_t id) { return static_cast<uint32_t>((id - 1) % SlotStore::kMostSlots); }

// The id after the last one of the record with that number; 0: there is none, or the last one is
// not known, as it was damaged.
uint64_t IdAfter(const SlotRecord& record, uint32_t number) {
  if (record.HadNoId()) return uint64_t{number} + 1;
  const bool is_last = record.id > SlotStore::kMostIds - SlotStore::kMostSlots;
  const bool is_known = record.IdIsSound() && NumberOf(record.id) == number;
  return is_last || !is_known ? 0 : record.id + SlotStore::kMostSlots;
}

// A copy of the live record of that slot.
std::unique_ptr<SlotRecord> CopyRecord(int memory, uint64_t id) {
  if (id == 0 || id > SlotStore::kMostIds) return nullptr;
  auto record = std::make_unique<SlotRecord>();
  const uint64_t at = kHeaderSize + NumberOf(id) * sizeof(SlotRecord);
  const ssize_t got =
      pread(memory, static_cast<void*>(record.get()), sizeof(SlotRecord), static_cast<off_t>(at));
  const bool is_it = got == static_cast<ssize_t>(sizeof(SlotRecord)) &&
                     record->state == SlotRecord::kLive && record->id == id;
  return is_it ? std::move(record) : nullptr;
}

std::string NameOf(const SlotRecord& record) {
  return {record.name, std::min<size_t>(record.name_size, sizeof(record.name))};
}

}  // namespace

util::UniqueFd SlotStore::MakeMemory() {
  return util::MakeSharedMemory("skopsfs-slots", kMemorySize);
}

std::optional<SlotStore::Seen> SlotStore::Read(int memory, uint64_t id) {
  constexpr int kMostFolders = 64;
  if (id == 0 && pread(memory, &id, sizeof(id), offsetof(Header, present)) != sizeof(id)) return {};
  auto record = CopyRecord(memory, id);
  if (!record) return std::nullopt;
  Seen seen{.id = record->id,
            .path = NameOf(*record),
            .identity = IdentityOf(record->st),
            .is_folder = S_ISDIR(record->st.st_mode)};
  for (int depth = 0; depth < kMostFolders && record->parent != 0; ++depth) {
    record = CopyRecord(memory, record->parent);
    if (!record || seen.path.size() > PATH_MAX) break;
    seen.path = NameOf(*record) + "/" + seen.path;
  }
  return seen;
}

SlotStore::SlotStore(const util::UniqueFd& memory)
    : mapping_(memory, kMemorySize, "slots", util::SharedMapping::Access::kWrite),
      header_(static_cast<Header*>(mapping_.get())) {
  if (header_->magic == 0) {
    header_->record_size = sizeof(SlotRecord);
    header_->magic = Header::kMagic;
  }
  mapping_.Check(header_->magic == Header::kMagic && header_->record_size == sizeof(SlotRecord) &&
                 header_->used <= kMostSlots);
}

SlotRecord* SlotStore::At(uint32_t number) const {
  return reinterpret_cast<SlotRecord*>(static_cast<std::byte*>(mapping_.get()) + kHeaderSize) +
         number;
}

bool SlotStore::IsSound(const SlotRecord& record) const {
  const auto name_is_sound = [&] {
    const auto name = record.Name();
    return name.find('/') == name.npos && name.find('\0') == name.npos && name != "." &&
           name != "..";
  };
  return record.IdIsSound() && record.id > 0 && record.id <= kMostIds &&
         At(NumberOf(record.id)) == &record && record.made > 0 && record.made <= header_->made &&
         record.name_size <= sizeof(record.name) && name_is_sound() &&
         (S_ISDIR(record.st.st_mode) || S_ISREG(record.st.st_mode));
}

std::vector<SlotRecord*> SlotStore::Recover() {
  const util::MutexLock lock(mutex_);
  std::vector<SlotRecord*> live;
  size_t unsound = 0;
  const uint32_t used = std::min<uint32_t>(header_->used, kMostSlots);
  free_.reserve(used);  // for Remove()
  for (uint32_t i = 0; i < used; ++i) {
    SlotRecord* record = At(i);
    if (record->state == SlotRecord::kLive && IsSound(*record)) {
      live.push_back(record);
      continue;
    }
    if (record->state.exchange(0) == SlotRecord::kLive) ++unsound;
    free_.push_back(i);
  }
  std::sort(live.begin(), live.end(), [](auto* a, auto* b) { return a->made < b->made; });
  std::unordered_map<uint64_t, int> depths = {{0, 0}};
  std::erase_if(live, [&](SlotRecord* record) REQUIRES(mutex_) {
    const auto parent = depths.find(record->parent);
    const bool sound = parent != depths.end() && parent->second < kDeepest &&
                       depths.try_emplace(record->id, parent->second + 1).second;
    if (sound) return false;
    record->state = 0;
    free_.push_back(static_cast<uint32_t>(record - At(0)));
    ++unsound;
    return true;
  });
  if (unsound > 0) util::LogWarning("{} damaged records of slots were left out", unsound);
  return live;
}

// A free record, for the next id of it. One that has none left, or whose id was damaged, is never
// used again.
SlotRecord* SlotStore::Take() {
  for (;;) {
    uint32_t number = header_->used;
    if (!free_.empty()) {
      number = free_.back();
      free_.pop_back();
    } else if (number == kMostSlots) {
      throw Error(ENFILE, "the kernel holds too many archives and folders");
    } else {
      // So that there is room for it when it is removed, whatever memory there is then.
      if (free_.capacity() <= number) free_.reserve(size_t{2} * (number + 1));
      ++header_->used;
    }
    if (IdAfter(*At(number), number) != 0) return At(number);
  }
}

SlotRecord* SlotStore::Add(uint64_t parent, std::string_view name, const struct stat& st) {
  if (name.size() > sizeof(SlotRecord::name)) throw Error(ENAMETOOLONG, "a name is too long");
  const util::MutexLock lock(mutex_);
  SlotRecord* const record = Take();
  record->superseded = 0;
  record->lookups = 1;
  record->index_mark = 0;
  record->names_mark = 0;
  record->members = 0;
  record->names = 0;
  record->npz = 0;
  record->SetId(IdAfter(*record, static_cast<uint32_t>(record - At(0))));
  record->made = ++header_->made;
  record->parent = parent;
  record->st = st;
  record->name_size = static_cast<uint32_t>(name.size());
  std::memcpy(record->name, name.data(), name.size());
  if (parent == 0 && name.empty()) header_->present = record->id;
  record->state.store(SlotRecord::kLive, std::memory_order_release);
  return record;
}

void SlotStore::Remove(SlotRecord* record) noexcept {
  if (held_) return;
  record->state = 0;
  const util::MutexLock lock(mutex_);
  free_.push_back(static_cast<uint32_t>(record - At(0)));  // there is room: it was reserved
}

}  // namespace skopsfs::handover
