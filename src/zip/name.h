#pragma once

#include <string>
#include <string_view>

namespace skopsfs::zip {

// A raw entry name as UTF-8: taken as UTF-8 when the entry's flag says so, else as code page 437,
// which maps every byte. Throws util::Error(EIO) for bytes that are not UTF-8 but should be.
std::string DecodeName(std::string_view raw, bool utf8);

}  // namespace skopsfs::zip
