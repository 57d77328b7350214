#pragma once

#include <string>

namespace skopsfs::cli {

// What --version prints: the version of the program and of its libraries, and which of the features
// that it uses this kernel has.
std::string VersionText();

}  // namespace skopsfs::cli
