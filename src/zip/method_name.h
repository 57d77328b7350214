#pragma once

#include <cstdint>
#include <string>

namespace skopsfs::zip {

// What people call a compression method; its number where it has no name here.
std::string MethodName(uint16_t method);

}  // namespace skopsfs::zip
