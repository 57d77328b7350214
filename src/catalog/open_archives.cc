#include "catalog/open_archives.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace skopsfs::catalog {
namespace {

using util::MutexLock;

// An eighth below the bound, so that a walk over very many archives does not sort them all each
// time.
size_t Target(size_t most) { return most - std::max<size_t>(1, most / 8); }

}  // namespace

std::shared_ptr<const archive::ArchiveFile> OpenArchives::Adopt(util::UniqueFd fd,
                                                                const struct stat& st,
                                                                const Slot& opening) {
  constexpr auto kPatience = std::chrono::seconds(10);  // with whoever asks the kernel
  const MutexLock adopting(adopting_);
  if (room_->files >= budget_.descriptors) CloseUnread(Target(budget_.descriptors), &opening);
  MutexLock lock(room_->mutex);
  if (room_->files >= budget_.descriptors) {
    // A round that has begun before may have passed what is let go of by now.
    const uint64_t enough = room_->rounds + 2;
    ++room_->waiting;
    room_->changed.notify_all();
    room_->changed.wait_for(lock, kPatience, [&]() REQUIRES(room_->mutex) {
      return room_->files < budget_.descriptors || room_->rounds >= enough;
    });
    --room_->waiting;
  }
  lock.unlock();
  if (room_->files >= budget_.descriptors) {
    throw util::Error(ENFILE, "all " + std::to_string(budget_.descriptors) +
                                  " descriptors for archives are held by open or mapped files: "
                                  "raise the limit (ulimit -n, LimitNOFILE)");
  }
  return AdoptInherited(std::move(fd), st);
}

std::shared_ptr<const archive::ArchiveFile> OpenArchives::AdoptInherited(util::UniqueFd fd,
                                                                         const struct stat& st) {
  auto adopted = std::make_unique<archive::ArchiveFile>(std::move(fd), st, budget_.keep_pages,
                                                        budget_.counters);
  {
    const MutexLock lock(room_->mutex);
    room_->closing.reserve(room_->files + 1);
    ++room_->files;
  }
  return {adopted.release(),
          [room = room_](const archive::ArchiveFile* file) { room->LetGo(file); }};
}

void OpenArchives::Room::LetGo(const archive::ArchiveFile* file) noexcept {
  {
    const MutexLock lock(mutex);
    ++leaving;
    // One that hangs is not to keep all others open.
    constexpr auto kPatience = std::chrono::seconds(2);
    if (has_closer && std::chrono::steady_clock::now() - busy_since < kPatience) {
      closing.push_back(file);
      return changed.notify_all();
    }
  }
  Close(file);
}

void OpenArchives::Room::Close(const archive::ArchiveFile* file) noexcept {
  delete file;
  const MutexLock lock(mutex);
  --files;
  in_vain_until = {};
  --leaving;
  if (waiting > 0) changed.notify_all();
}

void OpenArchives::CloseFor(const std::stop_token& stop, std::chrono::milliseconds period) {
  auto& room = *room_;
  const auto end = std::chrono::steady_clock::now() + period;
  MutexLock lock(room.mutex);
  room.has_closer = true;
  room.busy_since = room.busy_since.max();
  while (room.changed.wait_until(lock, stop, end,
                                 [&]() REQUIRES(room.mutex) { return !room.closing.empty(); })) {
    const auto* const file = room.closing.back();
    room.closing.pop_back();
    room.busy_since = std::chrono::steady_clock::now();
    lock.unlock();
    room.Close(file);
    lock.lock();
    room.busy_since = room.busy_since.max();
  }
  room.has_closer = !stop.stop_requested();
  room.busy_since = std::chrono::steady_clock::now();  // with something else
}

bool OpenArchives::WaitForShortage(const std::stop_token& stop, std::chrono::milliseconds period) {
  MutexLock lock(room_->mutex);
  return room_->changed.wait_for(lock, stop, period, [&]() REQUIRES(room_->mutex) {
    return room_->waiting > 0 && room_->Staying() >= budget_.descriptors;
  });
}

bool OpenArchives::WaitForRoom(std::chrono::milliseconds time) {
  MutexLock lock(room_->mutex);
  return room_->changed.wait_for(lock, time, [&]() REQUIRES(room_->mutex) {
    return room_->waiting == 0 || room_->Staying() < budget_.descriptors;
  });
}

void OpenArchives::NoRoomIsLeft() {
  const MutexLock lock(room_->mutex);
  constexpr auto kPause = std::chrono::seconds(1);
  ++room_->rounds;
  room_->in_vain_until = std::chrono::steady_clock::now() + kPause;
  room_->changed.notify_all();
}

void OpenArchives::MakeRoomForIndexes(const Slot& opening) {
  if (room_->index_bytes > budget_.idle_index_bytes) {
    DropIndexes(Target(budget_.idle_index_bytes), &opening);
  }
  if (room_->index_bytes > budget_.index_bytes) {
    throw util::Error(ENOMEM,
                      "the members of open archives take all memory that is set aside for them");
  }
}

void OpenArchives::Used(const std::shared_ptr<Slot>& slot) {
  UsedAgain(*slot);
  const MutexLock lock(mutex_);
  slots_.try_emplace(slot->id, slot);
}

std::vector<std::shared_ptr<Slot>> OpenArchives::Slots() {
  std::vector<std::shared_ptr<Slot>> slots;
  const MutexLock lock(mutex_);
  slots.reserve(slots_.size());
  std::erase_if(slots_, [&](const auto& item) {
    auto slot = item.second.lock();
    if (!slot) return true;
    slots.push_back(std::move(slot));
    return false;
  });
  return slots;
}

std::vector<std::shared_ptr<Slot>> OpenArchives::ByUse() {
  auto slots = Slots();
  // As they are now: they go on being used.
  std::vector<std::pair<uint64_t, std::shared_ptr<Slot>>> by_use;
  by_use.reserve(slots.size());
  for (auto& slot : slots) by_use.emplace_back(slot->last_used, std::move(slot));
  std::sort(by_use.begin(), by_use.end());
  std::transform(by_use.begin(), by_use.end(), slots.begin(),
                 [](auto& item) { return std::move(item.second); });
  return slots;
}

std::vector<std::shared_ptr<Slot>> OpenArchives::LeastRecentlyRead() {
  auto slots = ByUse();
  std::erase_if(slots, [](const auto& slot) {
    const auto state = slot->TryState();
    return !state || !state->is_read;
  });
  return slots;
}

void OpenArchives::CloseUnread(size_t enough, const Slot* except) {
  size_t staying = [&] {
    const MutexLock lock(room_->mutex);
    return room_->Staying();
  }();
  for (const auto& slot : ByUse()) {
    if (staying <= enough) return;
    if (slot.get() != except && slot->TryCloseUnread()) --staying;
  }
}

void OpenArchives::DropIndexes(size_t enough, const Slot* except) {
  for (const auto& slot : ByUse()) {
    if (room_->index_bytes <= enough) return;
    if (slot.get() != except) slot->TryDropIdle();
  }
}

void OpenArchives::DropLastPages() {
  constexpr int kAttempts = 10;
  constexpr auto kPause = std::chrono::milliseconds(10);  // for what is read ahead to arrive
  auto slots = Slots();
  for (int i = 0; i < kAttempts && !slots.empty(); ++i) {
    if (i > 0) std::this_thread::sleep_for(kPause);
    std::erase_if(slots, [](const auto& slot) {
      const auto file = slot->file();
      return !file || !file->pages().DropLast();
    });
  }
}

void OpenArchives::Tidy(DescriptorStore* store) {
  for (const auto& slot : Slots()) {
    if (const auto file = slot->TryKeep(store)) file->pages().DropIfQuiet();
  }
  {
    const MutexLock lock(mutex_);
    std::erase_if(slots_, [](const auto& item) {
      const auto slot = item.second.lock();
      const auto state = slot ? slot->TryState() : Slot::State();
      return state && !state->is_open && !state->is_in_memory;
    });
  }
  if (room_->files > kMostUnread) CloseUnread(kMostUnread, nullptr);
  if (room_->index_bytes > budget_.idle_index_bytes) {
    DropIndexes(budget_.idle_index_bytes, nullptr);
  }
}

}  // namespace skopsfs::catalog
