#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdlib>

namespace skopsfs::util {

// A piece of memory for each thread that asks for it, freed when the thread ends. It is no
// thread_local with a destructor: the C library notes those in memory of its own, and ends the
// process when there is none. Lives for ever. Thread-safe.
class ThreadMemory {
 public:
  static constexpr size_t kBlock = 4096;  // bytes; a multiple of this is its size, and its address

  explicit ThreadMemory(size_t size)
      : size_((size + kBlock - 1) / kBlock * kBlock),
        is_there_(pthread_key_create(&key_, std::free) == 0) {}

  // nullptr when there is none.
  std::byte* Get() const {
    if (!is_there_) return nullptr;
    void* memory = pthread_getspecific(key_);
    if (memory != nullptr) return static_cast<std::byte*>(memory);
    memory = std::aligned_alloc(kBlock, size_);
    if (memory != nullptr && pthread_setspecific(key_, memory) != 0) {
      std::free(memory);
      return nullptr;
    }
    return static_cast<std::byte*>(memory);
  }

 private:
  const size_t size_;
  pthread_key_t key_{};
  const bool is_there_;
};

}  // namespace skopsfs::util
