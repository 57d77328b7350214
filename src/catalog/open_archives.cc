#include "catalog/open_archives.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "util/log.h"

namespace skopsfs::catalog {
namespace {

// Nobody but the slot has it. The caller holds the slot's mutex, under which all copies are made.
template <typename T>
bool IsIdle(const std::shared_ptr<T>& held) {
  return held && held.use_count() == 1;
}

// An eighth below the bound, so that a walk over very many archives does not sort them all each
// time.
size_t Target(size_t most) { return most - std::max<size_t>(1, most / 8); }

}  // namespace

std::shared_ptr<const archive::ArchiveFile> OpenArchives::Adopt(util::UniqueFd fd,
                                                                const struct stat& st,
                                                                const Slot& opening) {
  const std::lock_guard adopting(adopting_);
  if (in_use_->files >= budget_.descriptors) {
    Evict(What::kFile, &opening, [&] { return in_use_->files <= Target(budget_.descriptors); });
  }
  if (in_use_->files >= budget_.descriptors) {
    throw util::Error(ENFILE, "all " + std::to_string(budget_.descriptors) +
                                  " descriptors for archives are held by open files: raise the "
                                  "limit (ulimit -n, LimitNOFILE)");
  }
  return AdoptInherited(std::move(fd), st);
}

std::shared_ptr<const archive::ArchiveFile> OpenArchives::AdoptInherited(util::UniqueFd fd,
                                                                         const struct stat& st) {
  auto adopted = std::make_unique<archive::ArchiveFile>(std::move(fd), st, budget_.keep_pages,
                                                        budget_.counters);
  ++in_use_->files;
  return {adopted.release(), [in_use = in_use_](const archive::ArchiveFile* file) {
            delete file;
            --in_use->files;
          }};
}

std::unique_lock<util::LongMutex> OpenArchives::WaitForTurn(uint64_t bytes) {
  return IsHuge(bytes) ? std::unique_lock(reading_huge_) : std::unique_lock<util::LongMutex>();
}

template <typename Index>
std::shared_ptr<const Index> OpenArchives::Adopt(std::unique_ptr<Index> index,
                                                 const Slot& opening) {
  const size_t bytes = index->memory_bytes();
  in_use_->index_bytes += bytes;
  std::shared_ptr<const Index> adopted(index.release(),
                                       [in_use = in_use_, bytes](const Index* old) {
                                         delete old;
                                         in_use->index_bytes -= bytes;
                                       });
  if (in_use_->index_bytes > budget_.idle_index_bytes) {
    Evict(What::kIndex, &opening,
          [&] { return in_use_->index_bytes <= Target(budget_.idle_index_bytes); });
  }
  if (in_use_->index_bytes > budget_.index_bytes) {
    throw util::Error(ENOMEM, "the members of open archives take all of the memory for them");
  }
  return adopted;
}

template std::shared_ptr<const archive::ArchiveIndex> OpenArchives::Adopt(
    std::unique_ptr<archive::ArchiveIndex> index, const Slot& opening);
template std::shared_ptr<const archive::InnerArchive> OpenArchives::Adopt(
    std::unique_ptr<archive::InnerArchive> index, const Slot& opening);
template std::shared_ptr<const by_name::NameTree> OpenArchives::Adopt(
    std::unique_ptr<by_name::NameTree> index, const Slot& opening);

void OpenArchives::Used(const std::shared_ptr<Slot>& slot) {
  slot->last_used = ++uses_;
  const std::lock_guard lock(mutex_);
  slots_.try_emplace(slot->id, slot);
}

template <typename Enough>
void OpenArchives::Evict(What what, const Slot* except, const Enough& enough) {
  std::vector<std::shared_ptr<Slot>> slots;
  {
    const std::lock_guard lock(mutex_);
    slots.reserve(slots_.size());
    std::erase_if(slots_, [&](const auto& item) {
      auto slot = item.second.lock();
      if (!slot) return true;
      slots.push_back(std::move(slot));
      return false;
    });
  }
  std::vector<std::pair<uint64_t, Slot*>> by_use;
  by_use.reserve(slots.size());
  for (const auto& slot : slots) by_use.emplace_back(slot->last_used, slot.get());
  std::sort(by_use.begin(), by_use.end());
  for (const auto& [use, slot] : by_use) {
    if (enough()) return;
    if (slot == except) continue;
    const std::unique_lock lock(slot->mutex, std::try_to_lock);
    if (!lock) continue;  // in use this very moment
    if (what == What::kFile && IsIdle(slot->file)) slot->CloseFile();
    if (what == What::kIndex && IsIdle(slot->names)) slot->names.reset();
    if (what == What::kIndex) {
      std::erase_if(slot->inner, [](const auto& item) { return IsIdle(item.second.archive); });
    }
    if (what == What::kIndex && IsIdle(slot->index)) slot->index.reset();
  }
}

std::vector<std::shared_ptr<Slot>> OpenArchives::Slots() {
  std::vector<std::shared_ptr<Slot>> slots;
  const std::lock_guard lock(mutex_);
  for (const auto& [id, slot] : slots_) {
    if (auto alive = slot.lock()) slots.push_back(std::move(alive));
  }
  return slots;
}

void OpenArchives::DropLastPages() {
  constexpr int kAttempts = 10;
  constexpr auto kPause = std::chrono::milliseconds(10);  // for what is read ahead to arrive
  auto slots = Slots();
  for (int i = 0; i < kAttempts && !slots.empty(); ++i) {
    if (i > 0) std::this_thread::sleep_for(kPause);
    std::erase_if(slots, [](const auto& slot) {
      const std::lock_guard lock(slot->mutex);
      return !slot->file || !slot->file->DropLastPages();
    });
  }
}

void OpenArchives::Tidy() {
  uint64_t unused_since = 0;
  {
    const std::lock_guard lock(mutex_);
    unused_since = uses_at_tidy_before_;
  }
  for (const auto& slot : Slots()) {
    std::shared_ptr<const archive::ArchiveFile> used;
    {
      const std::unique_lock lock(slot->mutex, std::try_to_lock);
      if (!lock) continue;
      if (slot->last_used <= unused_since && IsIdle(slot->file)) slot->CloseFile();
      used = slot->file;
    }
    if (used) used->DropPagesIfQuiet();
  }
  if (in_use_->index_bytes > budget_.idle_index_bytes) {
    Evict(What::kIndex, nullptr, [&] { return in_use_->index_bytes <= budget_.idle_index_bytes; });
  }
  const std::lock_guard lock(mutex_);
  std::erase_if(slots_, [&](const auto& item) {
    const auto slot = item.second.lock();
    if (!slot) return true;
    const std::unique_lock slot_lock(slot->mutex, std::try_to_lock);
    return slot_lock && !slot->file && !slot->index && !slot->names;
  });
  uses_at_tidy_before_ = uses_at_tidy_;
  uses_at_tidy_ = uses_;
}

}  // namespace skopsfs::catalog
