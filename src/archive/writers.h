#pragma once

#include <cstdint>

// What must hold before the times of a file can be trusted to tell of every later change.
namespace skopsfs::archive {

// Waits until a further change must move the change time `ctime` (nanoseconds since 1970): times
// move in steps, 4 ms and more on kernels before 6.13. Returns at once when it is old enough.
void WaitUntilSettled(int64_t ctime);

// Whether somebody has the file behind the read-only descriptor `fd` open for writing, or mapped
// so: one long write() moves the times only when it begins, a page that is dirty already not at
// all. False also where the kernel does not say: not our file and no CAP_LEASE, or a network file
// system. The program must ignore SIGIO, which tells of a writer that comes just then.
bool IsOpenForWriting(int fd);

}  // namespace skopsfs::archive
