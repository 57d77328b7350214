#include "util/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "util/error.h"

namespace skopsfs::util {

UniqueFd MakeSharedMemory(const std::string& name, size_t size) {
  UniqueFd memory(memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (memory && ftruncate(memory.get(), static_cast<off_t>(size)) == 0 &&
      fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
    return memory;
  }
  if (errno != EFBIG) throw ErrnoError("making the memory " + name);
  // To the kernel it is a file.
  throw Error(EFBIG, "making the memory " + name +
                         ": too large for a file: raise the limit (ulimit -f, LimitFSIZE)");
}

SharedMapping::SharedMapping(const UniqueFd& memory, size_t size, std::string what, Access access)
    : size_(size), what_(std::move(what)) {
  struct stat st {};
  if (fstat(memory.get(), &st) != 0) throw ErrnoError("the memory for " + what_);
  Check(static_cast<size_t>(st.st_size) == size);
  const int protection = access == Access::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
  mapping_ = mmap(nullptr, size, protection, MAP_SHARED | MAP_NORESERVE, memory.get(), 0);
  if (mapping_ == MAP_FAILED) throw ErrnoError("mapping the memory for " + what_);
}

SharedMapping::~SharedMapping() { munmap(mapping_, size_); }

void SharedMapping::Check(bool as_expected) const {
  if (as_expected) return;
  throw Error(EPROTO, "the memory for " + what_ + " is of another version of skopsfs");
}

}  // namespace skopsfs::util
