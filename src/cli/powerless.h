#pragma once

#include <string_view>
#include <utility>

namespace skopsfs::cli {

// For processes of the supervisor's that need no file and no power. The first one throws
// util::Error; the second one is to be called after it.
void GiveUpAllPowers();
void EndWithParent();

// "FIRST,SECOND", of two descriptors; -1 for what is none.
std::pair<int, int> TwoNumbers(std::string_view text);

}  // namespace skopsfs::cli
