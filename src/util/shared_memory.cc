#include "util/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

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

}  // namespace skopsfs::util
