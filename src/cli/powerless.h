#pragma once

namespace skopsfs::cli {

// Makes this a process of the supervisor's that needs no file and no power, and ends with its
// parent. Throws util::Error.
void BecomePowerless();

}  // namespace skopsfs::cli
