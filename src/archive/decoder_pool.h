#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

#include "archive/decoder.h"

namespace skopsfs::archive {

// Bounds the memory of decoders, however many compressed members are read: the least recently used
// ones go when there would be too much, and their members start over when read again. Those that
// are being used stay; who needs more than they leave waits for them. Thread-safe.
class DecoderPool {
 public:
  class Place;

 private:
  struct Item {
    const Place* owner;
    std::unique_ptr<Decoder> decoder;
  };

 public:
  static constexpr size_t kDefaultBytes = size_t{128} << 20;

  // A decoder in use, for as long as this lives. Not to be held while another is borrowed.
  class Lease {
   public:
    Lease(DecoderPool& pool, std::shared_ptr<Item> item) : pool_(pool), item_(std::move(item)) {}
    ~Lease() { pool_.Return(std::move(item_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Decoder* operator->() const { return item_->decoder.get(); }

   private:
    DecoderPool& pool_;
    std::shared_ptr<Item> item_;
  };

  // The place for the decoder of one member, which goes with it. The pool must live longer.
  class Place {
   public:
    explicit Place(DecoderPool& pool) : pool_(pool) {}
    ~Place() { Drop(); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    // The decoder here, made with `make` if there is none now.
    Lease Borrow(const std::function<std::unique_ptr<Decoder>()>& make) {
      return pool_.Borrow(this, make);
    }

    // Drops the decoder, when it is not to be used any more. Who borrowed it keeps it.
    void Drop() { pool_.Drop(this); }

    DecoderPool& pool() const { return pool_; }

   private:
    friend DecoderPool;
    DecoderPool& pool_;
    uint64_t drops_ = 0;  // guarded by the pool's mutex
  };

  // One decoder may take more than `most_bytes`, alone.
  explicit DecoderPool(size_t most_bytes = kDefaultBytes) : most_bytes_(most_bytes) {}

  size_t bytes();  // of all decoders, used or not

 private:
  Lease Borrow(Place* owner, const std::function<std::unique_ptr<Decoder>()>& make);
  void Drop(Place* owner);
  std::shared_ptr<Item> Find(const Place* owner);
  bool MakeRoom(size_t bytes);
  void Return(std::shared_ptr<Item> item);
  void Forget(std::list<std::shared_ptr<Item>>::iterator item);

  const size_t most_bytes_;
  std::mutex mutex_;  // guards what follows, and all copies of pointers to items
  std::condition_variable returned_;
  std::list<std::shared_ptr<Item>> items_;  // most recently used first; few, so searched in order
  size_t bytes_ = 0;                        // of these, and of dropped ones that are in use
};

}  // namespace skopsfs::archive
