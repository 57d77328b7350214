#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

namespace skopsfs::util {

// An allocator for RapidJSON that throws when there is no memory. RapidJSON's own returns nullptr,
// which RapidJSON then writes to.
class JsonMemory {
 public:
  static constexpr bool kNeedFree = true;

  void* Malloc(size_t size) { return size == 0 ? nullptr : Checked(std::malloc(size)); }
  void* Realloc(void* old, size_t /*old_size*/, size_t size) {
    if (size > 0) return Checked(std::realloc(old, size));
    std::free(old);
    return nullptr;
  }
  static void Free(void* memory) { std::free(memory); }

 private:
  static void* Checked(void* memory) {
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
  }
};

}  // namespace skopsfs::util
