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

}  // namespace skopsfs::worker
