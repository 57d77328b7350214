#include "support/failing_allocations.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

namespace skopsfs::testing {
namespace {

AllocationControl own;
AllocationControl* control = &own;
std::atomic<int64_t> live;

// What comes after this in the order of symbols: the C library's, or a sanitizer's.
template <typename Function>
Function Next(Function, const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}
#define NEXT(function)                                        \
  ([]() -> decltype(&(function)) {                            \
    static decltype(&(function)) real = nullptr;              \
    if (real == nullptr) real = Next(&(function), #function); \
    return real;                                              \
  }())

bool Fails() {
  const uint64_t how = control->how;
  const uint64_t process = control->process;
  if (how == AllocationControl::kNone) return false;
  if (process != 0 && process != static_cast<uint64_t>(getpid())) return false;
  const uint64_t number = control->count++;
  const bool fails = how == AllocationControl::kOne ? number == control->at : number >= control->at;
  if (!fails) return false;
  ++control->failed;
  errno = ENOMEM;
  return true;
}

void* Counted(void* memory) {
  if (memory != nullptr) ++live;
  return memory;
}

__attribute__((constructor)) void MapControl() {
  const char* const path = std::getenv("SKOPSFS_ALLOCATIONS");
  const int fd = path != nullptr ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void* const mapped = NEXT(mmap)(nullptr, sizeof(own), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) control = static_cast<AllocationControl*>(mapped);
}

void* New(size_t size, size_t alignment = 0) {
  if (size == 0) size = 1;
  void* const memory = alignment == 0 ? std::malloc(size) : aligned_alloc(alignment, size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

AllocationControl& Allocations() { return *control; }
int64_t LiveAllocations() { return live; }

}  // namespace skopsfs::testing

using namespace skopsfs::testing;  // NOLINT(google-build-using-namespace)

extern "C" {
void* malloc(size_t size) { return Fails() ? nullptr : Counted(NEXT(malloc)(size)); }
void* calloc(size_t count, size_t size) {
  return Fails() ? nullptr : Counted(NEXT(calloc)(count, size));
}
void* realloc(void* old, size_t size) {
  if (Fails()) return nullptr;
  void* const memory = NEXT(realloc)(old, size);
  if (old == nullptr && memory != nullptr) ++live;
  if (old != nullptr && memory == nullptr && size == 0) --live;
  return memory;
}
void* aligned_alloc(size_t alignment, size_t size) {
  return Fails() ? nullptr : Counted(NEXT(aligned_alloc)(alignment, size));
}
void* memalign(size_t alignment, size_t size) { return aligned_alloc(alignment, size); }
int posix_memalign(void** memory, size_t alignment, size_t size) {
  *memory = aligned_alloc(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}
void free(void* memory) {
  static decltype(&free) real = nullptr;
  static bool is_looking = false;  // dlsym frees what an earlier one has said
  if (real == nullptr && std::exchange(is_looking, true)) return;
  if (real == nullptr) real = Next(&free, "free");
  if (memory != nullptr) --live;
  real(memory);
}
void* mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
  if ((flags & MAP_ANONYMOUS) != 0 && Fails()) return MAP_FAILED;
  return NEXT(mmap)(at, size, protection, flags, fd, offset);
}
}

// A sanitizer's would neither call those above nor throw.
void* operator new(size_t size) { return New(size); }
void* operator new[](size_t size) { return New(size); }
void* operator new(size_t size, std::align_val_t alignment) {
  return New(size, static_cast<size_t>(alignment));
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return New(size, static_cast<size_t>(alignment));
}
void* operator new(size_t size, const std::nothrow_t&) noexcept { return std::malloc(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return std::malloc(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
