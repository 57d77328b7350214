#include "archive/writer_detector.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "util/clock.h"
#include "util/error.h"
#include "util/progress.h"

namespace skopsfs::archive {
namespace {

// Not in the headers of Debian 12.
constexpr uint32_t kCifsMagic = 0xff534d42;
constexpr uint32_t kSmb2Magic = 0xfe534d42;

}  // namespace

void WaitUntilSettled(int64_t ctime) {
  constexpr int64_t kStep = 20'000'000;
  const int64_t present = util::RealNow();
  if (ctime > present || ctime <= present - kStep) return;
  std::this_thread::sleep_for(std::chrono::nanoseconds(kStep - (present - ctime)));
}

WriterDetector::WriterDetector(int fd) : fd_(fd) {
  struct statfs filesystem {};
  const util::Waiting source(util::WaitsFor::kSource);
  // When it does not say what it is, the most is asked of it.
  const bool is_known = fstatfs(fd, &filesystem) == 0;
  const auto type = static_cast<uint32_t>(filesystem.f_type);
  // A page in memory is dirty for ever; and of overlayfs, what its layers lie on is not known.
  const bool is_in_memory = type == TMPFS_MAGIC || type == RAMFS_MAGIC;
  hide_in_maps_ = !is_known || type == OVERLAYFS_SUPER_MAGIC;
  may_leave_times_ = is_in_memory || hide_in_maps_;
  are_elsewhere_ = type == NFS_SUPER_MAGIC || type == kCifsMagic || type == kSmb2Magic;
}

bool WriterDetector::HasWriter() const {
  const util::Waiting source(util::WaitsFor::kSource);
  // A lease for reading is granted only where nobody writes. It is given back at once.
  if (fcntl(fd_, F_SETLEASE, F_RDLCK) != 0) {
    // NFSv4 and SMB say so whenever their server has not promised to tell of writers.
    return errno == EAGAIN && !are_elsewhere_;
  }
  fcntl(fd_, F_SETLEASE, F_UNLCK);
  return false;
}

bool WriterDetector::HasWriterAtFirst() const {
  const util::Waiting source(util::WaitsFor::kSource);
  if (HasWriter()) return true;
  // On overlayfs a map is one of the file in the layer, which a lease knows nothing of.
  if (hide_in_maps_ && fdatasync(fd_) != 0) throw util::ErrnoError("writing out what is mapped");
  return false;
}

}  // namespace skopsfs::archive
