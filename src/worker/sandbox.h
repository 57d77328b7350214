#pragma once

#include "source/source.h"

namespace skopsfs::worker {

// Whether this is a build with a sanitizer. That needs memory, pipes, and somewhere to write what
// it found.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// Takes from the calling process, for good, what a worker does not need and GiveUpPowers() has
// left. That is: new privileges by running programs; files outside the source, if the kernel has
// Landlock; system calls that it does not use (seccomp); being looked into by others; memory above
// 4 GiB of its own or 8 GiB in all. To be called before there are threads, and before anything of
// an archive is read. Logs what the kernel does not have. Throws util::Error when something that
// should work does not.
void EnterSandbox(const source::Source::Parts& source);

// The same for the metrics server, once it listens: it opens no file, and connects to nobody.
void EnterMetricsSandbox();

// The version of the kernel's Landlock; 0 when there is none. A negative number is the errno of a
// kernel that may not be asked.
long LandlockVersion();

// What follows is in seccomp_filter.cc.

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
