#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "by_name/name_tree.h"
#include "by_name/schema_reader.h"
#include "util/error.h"

// Any schema: it is read, in whatever pieces, or util::Error says why not; and what is made of it
// is a tree of names that can be looked up, each of which a path can hold.

namespace {

using skopsfs::by_name::NameTree;

void Require(bool holds) {
  if (!holds) std::abort();
}

void CheckFolder(const NameTree& tree, uint32_t index) {
  const auto folder = tree.At(index);
  Require(uint64_t{folder.first_child} + folder.child_count <= tree.size());
  for (uint32_t i = 0; i < folder.child_count; ++i) {
    const auto child = tree.At(folder.first_child + i);
    Require(child.parent == index);
    Require(!child.name.empty() && child.name.size() <= 255);
    Require(child.name != "." && child.name != "..");
    Require(child.name.find('/') == std::string_view::npos);
    Require(child.name.find('\0') == std::string_view::npos);
    Require(tree.Find(index, child.name) == folder.first_child + i);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t piece = size == 0 ? 1 : 1 + data[0] % 64;
  size_t offset = 0;
  try {
    const NameTree tree(skopsfs::by_name::ReadObjects(
        [&](std::span<char> out) {
          const auto part = text.substr(offset, std::min(out.size(), piece));
          std::copy(part.begin(), part.end(), out.begin());
          offset += part.size();
          return part.size();
        },
        [](std::string_view path) -> std::optional<skopsfs::by_name::Member> {
          constexpr std::string_view kName = "some.npy";
          if (path.empty() || path.front() == '!') return std::nullopt;
          return skopsfs::by_name::Member{.index = static_cast<uint32_t>(path.size()),
                                          .name = kName};
        }));
    for (uint32_t i = 0; i < tree.size(); ++i) {
      if (tree.At(i).kind == NameTree::Kind::kFolder) CheckFolder(tree, i);
    }
  } catch (const skopsfs::util::Error&) {
    // The reason why not.
  }
  return 0;
}
