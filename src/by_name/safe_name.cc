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
  std::string safe;
  while (!name.empty()) {
    const size_t size = util::SizeOfFirst(name);
    if (size == 0 || is_dots || IsUnsafe(static_cast<unsigned char>(name[0]))) {
      safe += fmt::format("%{:02X}", static_cast<unsigned char>(name[0]));
      name.remove_prefix(1);
    } else {
      safe += name.substr(0, size);
      name.remove_prefix(size);
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
