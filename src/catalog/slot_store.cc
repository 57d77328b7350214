#include "catalog/slot_store.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <unordered_map>

#include "util/error.h"
#include "util/log.h"
#include "util/shared_memory.h"

namespace skopsfs::catalog {

using util::ErrnoError;
using util::Error;

// At the front of the memory. New memory is all zeros.
struct SlotStore::Header {
  static constexpr uint64_t kMagic = 0x32746f6c73706b73;  // "skpslot2": a number a layout

  std::atomic<uint64_t> magic;
  uint64_t record_size;
  std::atomic<uint64_t> last_id;
  std::atomic<uint32_t> used;  // records that were ever used, all at the front
};

namespace {

constexpr size_t kHeaderSize = 4096;
constexpr uint64_t kMostIds = uint64_t{1} << 40;  // node ids have no room for more
constexpr int kDeepest = 2048;  // folders in each other: paths have no room for more
constexpr size_t kMemorySize = kHeaderSize + sizeof(SlotRecord) * SlotStore::kMostSlots;

// A copy of the first live record that `matches`, read a piece at a time.
template <typename Matches>
std::unique_ptr<SlotRecord> FindRecord(int memory, const Matches& matches) {
  constexpr size_t kAtOnce = 1024;
  std::vector<std::byte> block(kAtOnce * sizeof(SlotRecord));
  auto record = std::make_unique<SlotRecord>();
  for (uint64_t at = kHeaderSize; at < kMemorySize; at += block.size()) {
    const ssize_t got = pread(memory, block.data(), block.size(), static_cast<off_t>(at));
    if (got < static_cast<ssize_t>(sizeof(SlotRecord))) break;
    bool unused = true;  // records are used from the front on
    for (size_t i = 0; i < static_cast<size_t>(got) / sizeof(SlotRecord); ++i) {
      std::memcpy(static_cast<void*>(record.get()), block.data() + i * sizeof(SlotRecord),
                  sizeof(SlotRecord));
      unused &= record->id == 0;
      if (record->state == SlotRecord::kLive && matches(*record)) return record;
    }
    if (unused) break;
  }
  return nullptr;
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
  const auto of_single = [](const SlotRecord& record) {
    return record.parent == 0 && record.name_size == 0;
  };
  auto record = FindRecord(memory, [&](const SlotRecord& candidate) {
    return id == 0 ? of_single(candidate) && candidate.superseded == 0 : candidate.id == id;
  });
  if (!record) return std::nullopt;
  Seen seen{.id = record->id,
            .path = NameOf(*record),
            .identity = archive::IdentityOf(record->st),
            .is_folder = S_ISDIR(record->st.st_mode)};
  for (int depth = 0; depth < kMostFolders && record && record->parent != 0; ++depth) {
    record = FindRecord(memory, [parent = record->parent](const SlotRecord& candidate) {
      return candidate.id == parent;
    });
    if (record) seen.path = NameOf(*record) + "/" + seen.path;
  }
  return seen;
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
  return record.id > 0 && record.id <= std::min<uint64_t>(header_->last_id, kMostIds) &&
         record.parent < record.id && record.name_size <= sizeof(record.name) && name_is_sound() &&
         (S_ISDIR(record.st.st_mode) || S_ISREG(record.st.st_mode));
}

std::vector<SlotRecord*> SlotStore::Recover() {
  const std::lock_guard lock(mutex_);
  std::vector<SlotRecord*> live;
  size_t unsound = 0;
  const uint32_t used = std::min<uint32_t>(header_->used, kMostSlots);
  for (uint32_t i = 0; i < used; ++i) {
    SlotRecord* record = At(i);
    if (record->state == SlotRecord::kLive && IsSound(*record)) {
      live.push_back(record);
      continue;
    }
    if (record->state.exchange(0) == SlotRecord::kLive) ++unsound;
    free_.push_back(i);
  }
  std::sort(live.begin(), live.end(), [](auto* a, auto* b) { return a->id < b->id; });
  std::unordered_map<uint64_t, int> depths = {{0, 0}};
  std::erase_if(live, [&](SlotRecord* record) {
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
  record->names_mark = 0;
  record->handles = 0;
  record->id = id;
  record->parent = parent;
  record->st = st;
  record->name_size = static_cast<uint32_t>(name.size());
  std::memcpy(record->name, name.data(), name.size());
  record->state.store(SlotRecord::kLive, std::memory_order_release);
  return record;
}

void SlotStore::Remove(SlotRecord* record) noexcept {
  if (held_) return;
  record->state = 0;
  const std::lock_guard lock(mutex_);
  try {
    free_.push_back(static_cast<uint32_t>(record - At(0)));
  } catch (const std::bad_alloc&) {
    // A successor finds it again.
  }
}

}  // namespace skopsfs::catalog
