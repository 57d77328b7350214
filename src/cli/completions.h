#pragma once

#include <string>

#include "cli/command.h"

namespace skopsfs::cli {

// The files that make a shell complete the words after `program`.
std::string BashCompletions(const Command& program);
std::string ZshCompletions(const Command& program);
std::string FishCompletions(const Command& program);

}  // namespace skopsfs::cli
