#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace skopsfs::util {

// Whether `text` is UTF-8 as Python's strict decoder takes it: shortest forms only, no surrogates,
// nothing above U+10FFFF.
bool IsUtf8(std::string_view text);

// Decodes the first character of `text`, which is not empty. Returns how many bytes it has: 0 when
// it is not UTF-8, more than there are when it is cut. Takes any number that such bytes can say.
size_t DecodeFirst(std::string_view text, char32_t& character);

// How many bytes the first character of `text` has, which is not empty; 0 when it is no such UTF-8.
size_t SizeOfFirst(std::string_view text);

// Appends one character. A surrogate that stands alone gets the three bytes that it would have.
void AppendUtf8(std::string& text, char32_t character);

bool IsAscii(std::string_view text);

// `text` with each byte that is not part of such UTF-8 replaced by U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view text);

}  // namespace skopsfs::util
