#pragma once

#include "source/source.h"

namespace skopsfs::worker {

// Whether this is a build with a sanitizer, which needs memory, pipes and a place to say what it
// found.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// Takes everything from the calling process that a worker does not need, for good, but for what
// GiveUpPowers() has taken before: new privileges by running programs, files outside the source (as
// far as the kernel has Landlock), all system calls but those it uses (seccomp), being looked into
// by others, and more memory than 4 GiB of its own or 8 GiB in all. To be called before there are
// threads and before anything of an archive is read. What the kernel does not have is logged.
// Throws util::Error when something that should work does not.
void EnterSandbox(const source::Source::Parts& source);

// The same for the metrics server, once it listens: it opens no file, and connects to nobody.
void EnterMetricsSandbox();

// Of the kernel's Landlock; 0 when there is none, and less than that, an errno, when it may not be
// asked.
long LandlockVersion();

}  // namespace skopsfs::worker
