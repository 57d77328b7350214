#include "by_name/safe_name.h"

#include <fmt/format.h>

#include "util/utf8.h"
#include "zip/limits.h"

namespace skopsfs::by_name {
namespace {

bool IsUnsafe(unsigned char byte) {
  constexpr unsigned char kFirstPrintable = 0x20;
  constexpr unsigned char kDelete = 0x7f;
  return byte == '/' || byte < kFirstPrintable || byte == kDelete;
}

// The front of `text` that has at most `most` bytes and ends with a whole character.
std::string_view Front(std::string_view text, size_t most) {
  constexpr unsigned kContinuation = 0x80;
  constexpr unsigned kMask = 0xc0;
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & kMask) == kContinuation) --most;
  return text.substr(0, most);
}

}  // namespace

std::string SafeName(std::string_view name) {
  if (name.empty()) return "%";
  const bool is_dots = name == "." || name == "..";
  const bool is_text = util::IsUtf8(name);
  constexpr unsigned char kFirstBeyondAscii = 0x80;
  std::string safe;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_no_text = !is_text && byte >= kFirstBeyondAscii;
    if (is_dots || is_no_text || IsUnsafe(byte)) {
      safe += fmt::format("%{:02X}", byte);
    } else {
      safe += c;
    }
  }
  return safe;
}

std::string UniqueNames::Add(std::string_view name, std::string_view suffix) {
  const auto joined = [&](std::string_view number) {
    const size_t room = zip::kLongestComponent - suffix.size() - number.size();
    return fmt::format("{}{}{}", Front(name, room), number, suffix);
  };
  std::string first = joined("");
  if (taken_.insert(first).second) return first;
  // With a '/', which no name has, since "a" and ".npy" are something else than "a.npy" and "".
  size_t& number = tried_.try_emplace(fmt::format("{}/{}", name, suffix), 1).first->second;
  while (true) {
    std::string next = joined(fmt::format("~{}", ++number));
    if (taken_.insert(next).second) return next;
  }
}

}  // namespace skopsfs::by_name
