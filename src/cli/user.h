#pragma once

#include "cli/options.h"
#include "source/source.h"
#include "util/serving_user.h"

namespace skopsfs::cli {

// What is served, and as whom.
struct OpenedSource {
  source::Source source;
  util::ServingUser user;
};

// With --user, the source is opened as that user, every component of its path. Else whoever starts
// the program opens it, and root serves as its owner, or stays root, with a line in the log, when
// that one cannot read it. Throws util::Error.
OpenedSource OpenSource(const Options& options);

}  // namespace skopsfs::cli
