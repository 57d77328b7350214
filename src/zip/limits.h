#pragma once

#include <cstddef>
#include <cstdint>

// The limits of what an archive may make us allocate. An archive beyond one fails alone, with the
// reason.
namespace skopsfs::zip {

struct Limits {
  uint64_t central_directory_bytes = uint64_t{1} << 30;
  size_t entries = 4'000'000;
  size_t name_bytes = size_t{256} << 20;  // all names together, as UTF-8
};

// One component of a member's name, as Linux has it (NAME_MAX).
inline constexpr size_t kLongestComponent = 255;
// Directories above a member, within its archive.
inline constexpr size_t kDeepestMember = 128;

}  // namespace skopsfs::zip
