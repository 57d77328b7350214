#pragma once

#include <cstdint>

// What must hold before the times of a file can be trusted to tell of every later change.
namespace skopsfs::archive {

// Waits until a further change must move the change time `ctime` (nanoseconds since 1970): times
// move in steps, 4 ms and more on kernels before 6.13. Returns at once when it is old enough.
void WaitUntilSettled(int64_t ctime);

// What is known of those who write to an open file, which differs by its filesystem. Does not own
// the descriptor. Thread-safe. The program must ignore SIGIO, which tells of a writer that comes
// just when it is asked.
class WriterDetector {
 public:
  // Of the file behind the read-only descriptor `fd`.
  explicit WriterDetector(int fd);

  // Whether somebody has the file open for writing, or mapped so: one long write() moves the times
  // only when it begins, a page that is dirty already not at all. False also where the kernel does
  // not say: not our file and no CAP_LEASE, or a network filesystem.
  bool HasWriter() const;

  // The same, when the file is to be trusted from now on. Where maps are not seen, what has been
  // stored through them is written out first: then the next store moves the times. Throws
  // util::Error when that fails.
  bool HasWriterAtFirst() const;

  // Whether bytes may change without a change of times, so that HasWriter() must be asked after
  // each read, and before the times are looked at.
  bool may_leave_times() const { return may_leave_times_; }

 private:
  const int fd_;
  bool may_leave_times_ = false;
  bool hide_in_maps_ = false;
  bool are_elsewhere_ = false;
};

}  // namespace skopsfs::archive
