#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>

#include "archive/decoder.h"
#include "util/mutex.h"

namespace skopsfs::archive {

// Bounds the memory of decoders, however many compressed members are read: the least recently used
// ones go when there would be too much, and their members start over when read again. Those that
// are being used stay; who needs more than they leave waits for them. Thread-safe.
class DecoderPool {
 public:
  static constexpr size_t kDefaultBytes = size_t{128} << 20;
  using Make = std::function<std::shared_ptr<Decoder>()>;

  // Who has at most one decoder in the pool, as a member does. To be dropped before it goes.
  class Owner {
    friend DecoderPool;
    std::shared_ptr<Decoder> decoder_;  // this and the next are guarded by the pool's mutex
    uint64_t drops_ = 0;
  };

  // One decoder may take more than `most_bytes`, alone.
  explicit DecoderPool(size_t most_bytes = kDefaultBytes) : most_bytes_(most_bytes) {}

  // The owner's decoder, made with `make` if there is none now. It is in use until the pointer
  // goes, which must not outlive the pool. Not to be held while another is asked for.
  std::shared_ptr<Decoder> Get(Owner& owner, const Make& make);

  // Drops the decoder, when it is not to be used any more. Who is using it keeps it.
  void Drop(Owner& owner);

  // Of all decoders, used or not.
  size_t bytes() {
    const util::MutexLock lock(mutex_);
    return bytes_;
  }

 private:
  bool MakeRoom(size_t bytes) REQUIRES(mutex_);
  void Forget(Owner& owner) REQUIRES(mutex_);
  void Return(std::shared_ptr<Decoder> decoder);

  const size_t most_bytes_;
  util::Mutex mutex_;  // guards what owners have and all copies of their pointers, too
  std::condition_variable_any returned_;
  // Who has a decoder, most recently used first; few, so searched in order.
  std::list<Owner*> recent_ GUARDED_BY(mutex_);
  size_t bytes_ GUARDED_BY(mutex_) = 0;  // of these, and of dropped ones that are in use
};

}  // namespace skopsfs::archive
