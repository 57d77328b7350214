#include "util/utf8.h"

namespace skopsfs::util {
namespace {

// What the first byte of a sequence says: how many bytes follow, and the range of the first of
// them (the others are 80..BF). This is table 3-7 of the Unicode standard.
struct Lead {
  int following = -1;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
};

Lead LeadOf(unsigned char byte) {
  if (byte < 0x80) return {.following = 0};
  if (byte >= 0xc2 && byte <= 0xdf) return {.following = 1};
  if (byte == 0xe0) return {.following = 2, .low = 0xa0};
  if (byte == 0xed) return {.following = 2, .high = 0x9f};
  if (byte >= 0xe1 && byte <= 0xef) return {.following = 2};
  if (byte == 0xf0) return {.following = 3, .low = 0x90};
  if (byte == 0xf4) return {.following = 3, .high = 0x8f};
  if (byte >= 0xf1 && byte <= 0xf3) return {.following = 3};
  return {};
}

}  // namespace

size_t SizeOfFirst(std::string_view text) {
  const Lead lead = LeadOf(static_cast<unsigned char>(text[0]));
  if (lead.following < 0) return 0;
  const auto size = static_cast<size_t>(lead.following) + 1;
  if (text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const unsigned char low = i == 1 ? lead.low : 0x80;
    const unsigned char high = i == 1 ? lead.high : 0xbf;
    if (byte < low || byte > high) return 0;
  }
  return size;
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
