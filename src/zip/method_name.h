#pragma once

#include <cstdint>
#include <string>

namespace skopsfs::zip {

// The usual name of a compression method; its number when there is none here.
std::string MethodName(uint16_t method);

}  // namespace skopsfs::zip
