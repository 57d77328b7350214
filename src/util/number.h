#pragma once

#include <charconv>
#include <optional>
#include <string_view>

namespace skopsfs::util {

// The number that all of `text` is, in base 10 if none is given. Nothing where it is no number, or
// too large for its type.
template <typename T, typename... Base>
std::optional<T> ParseNumber(std::string_view text, Base... base) {
  T number{};
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number, base...);
  return result.ec == std::errc() && result.ptr == end ? std::optional(number) : std::nullopt;
}

}  // namespace skopsfs::util
