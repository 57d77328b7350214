#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// Ways in which a file can change under somebody who has it open.
namespace skopsfs::testing {

// Waits until a change made now gets a later time than the last change of the file at `path`: file
// systems count time in steps of some milliseconds.
void WaitForNewTime(const std::string& path);

// Writes `bytes` at `offset`, in place.
void Overwrite(const std::string& path, uint64_t offset, std::string_view bytes);

// The same, after which the modification time is set back: only the change time tells.
void OverwriteKeepingTime(const std::string& path, uint64_t offset, std::string_view bytes);

// chmod that changes nothing but the change time, which it gives another value than before.
void TouchMode(const std::string& path);

}  // namespace skopsfs::testing
