#pragma once

namespace skopsfs::worker {

// From now on all threads of the process can make only the system calls that serving takes; others
// fail with EPERM. None of these runs a program, makes a socket or a file, or maps memory to be
// executed. `files_are_contained` says that Landlock bounds which files can be opened, and how.
// Without that openat2 is not allowed, because a filter cannot see its arguments. Throws
// util::Error when the kernel has no seccomp filters.
void RestrictSystemCalls(bool files_are_contained);

// The same with the system calls that answering on a listening socket takes.
void RestrictSystemCallsToMetrics();

// From now on the process can read from and write to what it has open, and end. Any other system
// call kills it.
void RestrictToReadingAndWriting();

}  // namespace skopsfs::worker
