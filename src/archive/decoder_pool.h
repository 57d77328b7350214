#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

#include "archive/decoder.h"

namespace skopsfs::archive {

// Bounds the memory of decoders, however many compressed members are open: the least recently used
// decoder goes when there would be one too many, and its member starts over when read again.
// Thread-safe.
class DecoderPool {
 public:
  explicit DecoderPool(size_t most = 16) : most_(std::max<size_t>(most, 1)) {}

  // The decoder of `owner`, made with `make` if it has none now.
  std::shared_ptr<Decoder> Get(const void* owner,
                               const std::function<std::shared_ptr<Decoder>()>& make);

  // Drops what `owner` has, when it goes.
  void Drop(const void* owner);

 private:
  struct Item {
    const void* owner;
    std::shared_ptr<Decoder> decoder;
  };

  const size_t most_;
  std::mutex mutex_;
  std::list<Item> items_;  // most recently used first; few, so searched in order
};

}  // namespace skopsfs::archive
