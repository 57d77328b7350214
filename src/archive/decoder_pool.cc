#include "archive/decoder_pool.h"

#include <algorithm>

#include "util/progress.h"

namespace skopsfs::archive {

DecoderPool::Lease DecoderPool::Borrow(Place* owner,
                                       const std::function<std::unique_ptr<Decoder>()>& make) {
  std::unique_lock lock(mutex_);
  while (true) {
    if (auto item = Find(owner)) return {*this, std::move(item)};
    const uint64_t drops = owner->drops_;
    lock.unlock();
    auto made = std::make_shared<Item>(Item{owner, make()});
    const size_t bytes = made->decoder->memory_bytes();
    lock.lock();
    while (true) {
      // Another thread may have been quicker.
      if (auto item = Find(owner)) return {*this, std::move(item)};
      if (MakeRoom(bytes)) break;
      const util::Waiting others(util::WaitsFor::kOthers);
      returned_.wait(lock);
    }
    if (drops != owner->drops_) continue;  // it may have read something that is not to be used
    items_.push_front(made);
    bytes_ += bytes;
    return {*this, std::move(made)};
  }
}

std::shared_ptr<DecoderPool::Item> DecoderPool::Find(const Place* owner) {
  const auto found = std::find_if(items_.begin(), items_.end(),
                                  [&](const auto& item) { return item->owner == owner; });
  if (found == items_.end()) return nullptr;
  items_.splice(items_.begin(), items_, found);
  return items_.front();
}

// Lets go of idle decoders until there is room; false when there are not enough of them.
bool DecoderPool::MakeRoom(size_t bytes) {
  for (auto item = items_.end(); bytes_ + bytes > most_bytes_ && item != items_.begin();) {
    const auto last = std::prev(item);
    if (last->use_count() == 1) {
      Forget(last);
    } else {
      item = last;
    }
  }
  return bytes_ == 0 || bytes_ + bytes <= most_bytes_;
}

void DecoderPool::Forget(std::list<std::shared_ptr<Item>>::iterator item) {
  if (item->use_count() == 1) bytes_ -= (*item)->decoder->memory_bytes();
  items_.erase(item);
}

void DecoderPool::Return(std::shared_ptr<Item> item) {
  {
    const std::lock_guard lock(mutex_);
    if (item.use_count() == 1) bytes_ -= item->decoder->memory_bytes();  // dropped meanwhile
    item.reset();
  }
  returned_.notify_all();
}

void DecoderPool::Drop(Place* owner) {
  {
    const std::lock_guard lock(mutex_);
    ++owner->drops_;
    const auto found = std::find_if(items_.begin(), items_.end(),
                                    [&](const auto& item) { return item->owner == owner; });
    if (found != items_.end()) Forget(found);
  }
  returned_.notify_all();
}

size_t DecoderPool::bytes() {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace skopsfs::archive
