#pragma once

#include <cstdint>
#include <string_view>

namespace skopsfs::util {

// FNV-1a, which is the same in every process and on every machine.
class Hash {
 public:
  // Of the bytes alone: of two texts one after the other it is that of both together.
  constexpr Hash& Add(std::string_view text) {
    for (const char c : text) Mix(static_cast<unsigned char>(c));
    return *this;
  }
  constexpr Hash& Add(uint64_t number) {
    for (int i = 0; i < 8; ++i) Mix((number >> (8 * i)) & 0xff);
    return *this;
  }
  constexpr uint64_t value() const { return value_; }

 private:
  constexpr void Mix(uint64_t byte) { value_ = (value_ ^ byte) * 0x100000001b3; }
  uint64_t value_ = 0xcbf29ce484222325;
};

}  // namespace skopsfs::util
