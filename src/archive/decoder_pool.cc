#include "archive/decoder_pool.h"

#include <algorithm>

namespace skopsfs::archive {

std::shared_ptr<Decoder> DecoderPool::Get(const void* owner,
                                          const std::function<std::shared_ptr<Decoder>()>& make) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(items_.begin(), items_.end(),
                                  [&](const Item& item) { return item.owner == owner; });
  if (found != items_.end()) {
    items_.splice(items_.begin(), items_, found);
  } else {
    items_.push_front({owner, make()});
    if (items_.size() > most_) items_.pop_back();
  }
  return items_.front().decoder;
}

void DecoderPool::Drop(const void* owner) {
  const std::lock_guard lock(mutex_);
  items_.remove_if([&](const Item& item) { return item.owner == owner; });
}

}  // namespace skopsfs::archive
