#include "util/utf8.h"

#include <array>
#include <bit>

namespace skopsfs::util {

size_t DecodeFirst(std::string_view text, char32_t& character) {
  constexpr std::array<char32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  character = byte(0);
  if (character < 0x80) return 1;
  // The first byte of a sequence has as many leading ones as the sequence has bytes.
  const auto size = static_cast<size_t>(std::countl_one(byte(0)));
  if (size < 2 || size > 4) return 0;
  character &= 0xffU >> size;
  for (size_t i = 1; i < size; ++i) {
    if (i == text.size()) return size;
    if ((byte(i) & 0xc0U) != 0x80) return 0;
    character = character << 6 | (byte(i) & 0x3fU);
  }
  return character < kSmallest.at(size) ? 0 : size;
}

size_t SizeOfFirst(std::string_view text) {
  char32_t character = 0;
  const size_t size = DecodeFirst(text, character);
  const bool is_surrogate = character >= 0xd800 && character <= 0xdfff;
  return size > text.size() || is_surrogate || character > 0x10ffff ? 0 : size;
}

void AppendUtf8(std::string& text, char32_t character) {
  if (character < 0x80) {
    text += static_cast<char>(character);
    return;
  }
  const int following = character < 0x800 ? 1 : character < 0x10000 ? 2 : 3;
  // As many leading ones as there are bytes.
  text += static_cast<char>((0xff00U >> (following + 1) & 0xffU) | character >> (6 * following));
  for (int i = following - 1; i >= 0; --i) {
    text += static_cast<char>(0x80U | (character >> (6 * i) & 0x3fU));
  }
}

bool IsAscii(std::string_view text) {
  unsigned char all = 0;  // rather than a way out of the loop, so that it works on many at a time
  for (const char c : text) all |= static_cast<unsigned char>(c);
  return all < 0x80;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t size = SizeOfFirst(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const size_t size = SizeOfFirst(text);
    valid += size == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, size);
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return valid;
}

}  // namespace skopsfs::util
