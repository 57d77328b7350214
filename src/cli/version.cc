// Which versions this program, its libraries and the kernel are.

#include <fmt/format.h>

#include <cstdio>
#include <system_error>

#include "archive/codecs.h"
#include "cli/run.h"
#include "supervisor/mount.h"
#include "worker/kernel_features.h"

namespace skopsfs::cli {
namespace {

// Where only root may ask the kernel itself.
bool IsAtLeast(const std::string& release, unsigned major, unsigned minor) {
  unsigned major_now = 0;
  unsigned minor_now = 0;
  if (std::sscanf(release.c_str(), "%u.%u", &major_now, &minor_now) != 2) return false;
  return major_now > major || (major_now == major && minor_now >= minor);
}

std::string Line(const char* what, const std::string& answer) {
  return fmt::format("  {:<49} {}\n", what, answer);
}

const char* Word(bool yes) { return yes ? "yes" : "no"; }

std::string LandlockText(long version) {
  if (version > 0) return fmt::format("yes, version {}", version);
  if (version == 0) return "no";
  return "not known: " + std::generic_category().message(static_cast<int>(-version));
}

}  // namespace

metrics::Versions ThisVersion() { return {SKOPSFS_VERSION, supervisor::LibraryVersion()}; }

std::string VersionText() {
  const auto kernel = worker::FindKernelFeatures();
  std::string text = fmt::format("skopsfs {}\nlibfuse {}\nlibzip {}\nISA-L {}\nLinux {}\n",
                                 SKOPSFS_VERSION, supervisor::LibraryVersion(),
                                 archive::LibzipVersion(), archive::IsalVersion(), kernel.release);
  text += Line("/dev/fuse",
               kernel.device.empty() ? "can be opened" : "cannot be opened: " + kernel.device);
  text += Line("takeover when a worker dies (NOTIFY_RESEND, 6.9)",
               kernel.resend
                   ? Word(*kernel.resend)
                   : fmt::format("{}, by its version", Word(IsAtLeast(kernel.release, 6, 9))));
  text += Line("files out of the worker's reach (Landlock, 5.13)", LandlockText(kernel.landlock));
  text += Line("what is in memory (cachestat, 6.5)", Word(kernel.cachestat));
  text += Line("direct reads (statx DIOALIGN, 6.1)",
               kernel.direct ? "yes" : "no, on the filesystem of this program");
  text += Line("FUSE passthrough (6.9)", "not used: it maps whole files only");
  return text;
}

}  // namespace skopsfs::cli
