#pragma once

namespace skopsfs::worker {

// From now on the process's threads can make those system calls only that serving takes; others
// fail with EPERM. None of them runs a program, makes a socket or a file, or maps memory to be
// executed. `files_are_contained`: Landlock sees to it which files can be opened, and how; else
// openat2 is not there, because a filter cannot see what it is told. Throws util::Error when the
// kernel has no seccomp filters.
void RestrictSystemCalls(bool files_are_contained);

// The same with those that answering on a socket takes, which listens already.
void RestrictSystemCallsToMetrics();

// From now on the process can read from and write to what it has open, and end; all else is the end
// of it.
void RestrictToReadingAndWriting();

}  // namespace skopsfs::worker
