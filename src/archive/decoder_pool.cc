#include "archive/decoder_pool.h"

#include <algorithm>

#include "util/progress.h"

namespace skopsfs::archive {

std::shared_ptr<Decoder> DecoderPool::Get(Owner& owner, const Make& make) {
  util::MutexLock lock(mutex_);
  while (!owner.decoder_) {
    const uint64_t drops = owner.drops_;
    lock.unlock();
    const auto made = make();
    lock.lock();
    // Another thread may be quicker.
    while (!owner.decoder_ && !MakeRoom(made->memory_bytes())) {
      const util::Waiting others(util::WaitsFor::kOthers);
      returned_.wait(lock);
    }
    // One that was dropped meanwhile may have read something that is not to be used.
    if (owner.decoder_ || drops != owner.drops_) continue;
    recent_.push_front(&owner);
    owner.decoder_ = made;
    bytes_ += made->memory_bytes();
  }
  recent_.splice(recent_.begin(), recent_, std::find(recent_.begin(), recent_.end(), &owner));
  auto used = owner.decoder_;
  lock.unlock();  // when there is no memory for the pointer, it is returned at once
  Decoder* const decoder = used.get();
  return {decoder, [this, used = std::move(used)](Decoder*) mutable { Return(std::move(used)); }};
}

// Lets go of idle decoders until there is room; false when there are not enough of them.
bool DecoderPool::MakeRoom(size_t bytes) {
  for (auto next = recent_.end(); bytes_ + bytes > most_bytes_ && next != recent_.begin();) {
    const auto last = std::prev(next);
    if ((*last)->decoder_.use_count() == 1) {
      Forget(**last);
    } else {
      next = last;
    }
  }
  return bytes_ == 0 || bytes_ + bytes <= most_bytes_;
}

void DecoderPool::Forget(Owner& owner) {
  if (owner.decoder_.use_count() == 1) bytes_ -= owner.decoder_->memory_bytes();
  owner.decoder_.reset();
  recent_.remove(&owner);
}

void DecoderPool::Return(std::shared_ptr<Decoder> decoder) {
  {
    const util::MutexLock lock(mutex_);
    if (decoder.use_count() == 1) bytes_ -= decoder->memory_bytes();  // dropped meanwhile
    decoder.reset();
  }
  returned_.notify_all();
}

void DecoderPool::Drop(Owner& owner) {
  {
    const util::MutexLock lock(mutex_);
    ++owner.drops_;
    if (owner.decoder_) Forget(owner);
  }
  returned_.notify_all();
}

}  // namespace skopsfs::archive
