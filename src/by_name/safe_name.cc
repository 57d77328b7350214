#include "by_name/safe_name.h"

#include <fmt/format.h>

#include <algorithm>

#include "util/utf8.h"
#include "zip/limits.h"

namespace skopsfs::by_name {
namespace {

// Control characters, and those that turn around the order in which text is shown.
bool IsUnsafe(std::string_view character) {
  const auto is_in = [&](std::string_view first, std::string_view last) {
    return character >= first && character <= last;
  };
  constexpr unsigned char kFirstPrintable = 0x20;
  return character == "/" || static_cast<unsigned char>(character[0]) < kFirstPrintable ||
         is_in("\u007f", "\u009f") || is_in("\u202a", "\u202e") || is_in("\u2066", "\u2069");
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
  std::string safe;
  while (!name.empty()) {
    const size_t size = util::SizeOfFirst(name);
    const auto first = name.substr(0, std::max<size_t>(size, 1));
    name.remove_prefix(first.size());
    if (size == 0 || is_dots || IsUnsafe(first)) {
      for (const char c : first) safe += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    } else {
      safe += first;
    }
  }
  return safe;
}

void UniqueNames::BeginFolder() {
  ++folder_;
  tried_ = {};  // clear() would take as long as there were many once
}

bool UniqueNames::Take(Name& name) { return std::exchange(name.second.folder, folder_) != folder_; }

UniqueNames::Name& UniqueNames::Add(std::string_view name, std::string_view suffix) {
  const auto joined = [&](std::string_view number) -> Name& {
    const size_t room = zip::kLongestComponent - suffix.size() - number.size();
    return *names_.try_emplace(fmt::format("{}{}{}", Front(name, room), number, suffix)).first;
  };
  Name& first = joined("");
  if (Take(first)) return first;
  // With a '/', which no name has, since "a" and ".npy" are something else than "a.npy" and "".
  size_t& number = tried_.try_emplace(fmt::format("{}/{}", name, suffix), 1).first->second;
  while (true) {
    Name& next = joined(fmt::format("~{}", ++number));
    if (Take(next)) return next;
  }
}

}  // namespace skopsfs::by_name
