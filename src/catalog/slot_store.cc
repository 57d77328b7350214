#include "catalog/slot_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "util/error.h"
#include "util/log.h"

namespace skopsfs::catalog {

using util::ErrnoError;
using util::Error;

// At the front of the memory. New memory is all zeros.
struct SlotStore::Header {
  static constexpr uint64_t kMagic = 0x31746f6c73706b73;  // "skpslot1": a number a layout

  std::atomic<uint64_t> magic;
  uint64_t record_size;
  std::atomic<uint64_t> last_id;
  std::atomic<uint32_t> used;  // records that were ever used, all at the front
};

namespace {

constexpr size_t kHeaderSize = 4096;
constexpr size_t kMemorySize = kHeaderSize + sizeof(SlotRecord) * SlotStore::kMostSlots;

}  // namespace

util::UniqueFd SlotStore::MakeMemory() {
  util::UniqueFd memory(memfd_create("skopsfs-slots", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  // Sparse: it takes as much memory as is used.
  if (!memory || ftruncate(memory.get(), static_cast<off_t>(kMemorySize)) != 0 ||
      fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    throw ErrnoError("making the memory for slots");
  }
  return memory;
}

SlotStore::SlotStore(util::UniqueFd memory) : memory_(std::move(memory)) {
  struct stat st;
  if (fstat(memory_.get(), &st) != 0) throw ErrnoError("the memory for slots");
  if (static_cast<size_t>(st.st_size) != kMemorySize) {
    throw Error(EPROTO, "the memory for slots is of another version of skopsfs");
  }
  mapping_ = mmap(nullptr, kMemorySize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                  memory_.get(), 0);
  if (mapping_ == MAP_FAILED) throw ErrnoError("mapping the memory for slots");
  header_ = static_cast<Header*>(mapping_);
  if (header_->magic == 0) {
    header_->record_size = sizeof(SlotRecord);
    header_->magic = Header::kMagic;
  }
  if (header_->magic != Header::kMagic || header_->record_size != sizeof(SlotRecord) ||
      header_->used > kMostSlots) {
    munmap(mapping_, kMemorySize);
    throw Error(EPROTO, "the memory for slots is of another version of skopsfs");
  }
}

SlotStore::~SlotStore() { munmap(mapping_, kMemorySize); }

SlotRecord* SlotStore::At(uint32_t number) const {
  return reinterpret_cast<SlotRecord*>(static_cast<std::byte*>(mapping_) + kHeaderSize) + number;
}

bool SlotStore::IsSound(const SlotRecord& record) const {
  const auto name_is_sound = [&] {
    const auto name = record.Name();
    return name.find('/') == name.npos && name.find('\0') == name.npos && name != "." &&
           name != "..";
  };
  return record.id > 0 && record.id <= header_->last_id && record.parent < record.id &&
         record.name_size <= sizeof(record.name) && name_is_sound() &&
         (S_ISDIR(record.st.st_mode) || S_ISREG(record.st.st_mode));
}

std::vector<SlotRecord*> SlotStore::Recover() {
  const std::lock_guard lock(mutex_);
  std::vector<SlotRecord*> live;
  size_t unsound = 0;
  for (uint32_t i = 0; i < header_->used; ++i) {
    SlotRecord* record = At(i);
    if (record->state == SlotRecord::kLive && IsSound(*record)) {
      live.push_back(record);
      continue;
    }
    if (record->state.exchange(0) == SlotRecord::kLive) ++unsound;
    free_.push_back(i);
  }
  std::sort(live.begin(), live.end(), [](auto* a, auto* b) { return a->id < b->id; });
  std::unordered_set<uint64_t> known = {0};
  std::erase_if(live, [&](SlotRecord* record) {
    if (known.contains(record->parent) && known.insert(record->id).second) return false;
    record->state = 0;
    free_.push_back(static_cast<uint32_t>(record - At(0)));
    ++unsound;
    return true;
  });
  if (unsound > 0) util::LogWarning("{} damaged records of slots were left out", unsound);
  return live;
}

uint64_t SlotStore::NextId() { return ++header_->last_id; }

SlotRecord* SlotStore::Add(uint64_t id, uint64_t parent, std::string_view name,
                           const struct stat& st) {
  if (name.size() > sizeof(SlotRecord::name)) throw Error(ENAMETOOLONG, "a name is too long");
  const std::lock_guard lock(mutex_);
  uint32_t number = header_->used;
  if (!free_.empty()) {
    number = free_.back();
    free_.pop_back();
  } else if (number == kMostSlots) {
    throw Error(ENFILE, "the kernel holds too many archives and folders");
  } else {
    ++header_->used;
  }
  SlotRecord* record = At(number);
  record->superseded = 0;
  record->lookups = 1;
  record->index_mark = 0;
  record->id = id;
  record->parent = parent;
  record->st = st;
  record->name_size = static_cast<uint32_t>(name.size());
  std::memcpy(record->name, name.data(), name.size());
  record->state.store(SlotRecord::kLive, std::memory_order_release);
  return record;
}

void SlotStore::Remove(SlotRecord* record) noexcept {
  if (handed_over_) return;
  record->state = 0;
  const std::lock_guard lock(mutex_);
  try {
    free_.push_back(static_cast<uint32_t>(record - At(0)));
  } catch (const std::bad_alloc&) {
    // A successor finds it again.
  }
}

}  // namespace skopsfs::catalog
