// Reads schemas from standard input, each behind its size in four bytes (little-endian), and prints
// a line for each: "names MARK" of the tree of names that is made of it, or the errno and the
// reason.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iostream>
#include <string>

#include "by_name/name_tree.h"
#include "by_name/schema_reader.h"
#include "util/error.h"
#include "util/hash.h"

namespace {

using namespace skopsfs;

// Every member is there, and its path tells it from others.
std::optional<by_name::Member> Find(std::string_view path) {
  util::Hash hash;
  hash.Add(path);
  return by_name::Member{.index = static_cast<uint32_t>(hash.value() & 0xffffffU),
                         .name = path.ends_with(".npz") ? "x.npz" : "x.npy"};
}

std::string Describe(const std::string& schema) {
  std::string_view left = schema;
  const auto read = [&](std::span<char> out) {
    const auto part = left.substr(0, out.size());
    std::copy(part.begin(), part.end(), out.begin());
    left.remove_prefix(part.size());
    return part.size();
  };
  try {
    const by_name::NameTree names(by_name::ReadObjects(read, Find));
    return fmt::format("names {:x} of {} nodes", names.Fingerprint(), names.size());
  } catch (const util::Error& error) {
    return fmt::format("{} {}", error.code(), error.what());
  }
}

}  // namespace

int main() {
  std::array<char, 4> prefix;
  std::string schema;
  while (std::cin.read(prefix.data(), prefix.size())) {
    uint32_t size = 0;
    for (size_t i = prefix.size(); i-- > 0;) size = size << 8 | static_cast<uint8_t>(prefix.at(i));
    schema.resize(size);
    if (!std::cin.read(schema.data(), size)) return 1;
    fmt::print("{}\n", Describe(schema));
  }
  return std::cin.eof() ? 0 : 1;
}
