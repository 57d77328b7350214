#pragma once

#include <string>

namespace skopsfs::cli {

// What --version prints: the version of the program and of its libraries, and what the kernel it
// runs on has of what it uses.
std::string VersionText();

}  // namespace skopsfs::cli
