#include "archive/member_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "util/error.h"
#include "zip/limits.h"

namespace skopsfs::archive {
namespace {

// Why a name cannot be shown; empty when it can.
std::string_view ReasonToHide(std::string_view name) {
  if (name.empty()) return "its name is empty";
  if (name.front() == '/') return "its name is absolute";
  if (name.back() == '/') name.remove_suffix(1);
  size_t depth = 0;
  while (true) {
    const size_t slash = name.find('/');
    const std::string_view component = name.substr(0, slash);
    if (component.empty()) return "its name has an empty component";
    if (component == "." || component == "..") return "its name has a component '.' or '..'";
    if (component.size() > zip::kLongestComponent) return "its name has a component over 255 bytes";
    if (slash == std::string_view::npos) return {};
    if (++depth > zip::kDeepestMember) return "it lies too deep";
    name.remove_prefix(slash + 1);
  }
}

// The front of a name as numbers that are in the order of PathLess(), which then need not look at
// most of the names. Names have no NUL, so 256 values are enough for '/', bytes and an end.
using FrontOfName = std::pair<uint64_t, uint64_t>;

FrontOfName FrontOf(std::string_view name) {
  FrontOfName front;
  for (size_t i = 0; i < 2 * sizeof(uint64_t); ++i) {
    const unsigned char byte = i < name.size() ? static_cast<unsigned char>(name[i]) : 0;
    const unsigned char place = byte == '/' ? 1 : byte > 0 && byte < '/' ? byte + 1 : byte;
    auto& half = i < sizeof(uint64_t) ? front.first : front.second;
    half = half << 8 | place;
  }
  return front;
}

// Byte order with '/' before everything else: what is below a directory follows it directly.
bool PathLess(std::string_view a, std::string_view b) {
  const auto [in_a, in_b] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (in_b == b.end()) return false;
  if (in_a == a.end()) return true;
  if (*in_a == '/') return true;
  if (*in_b == '/') return false;
  return static_cast<unsigned char>(*in_a) < static_cast<unsigned char>(*in_b);
}

// The entries to show, sorted by name; of several with one name the last, as in zipfile.
std::vector<uint32_t> SortedEntries(const zip::CentralDirectory& directory,
                                    const HiddenReport& report) {
  struct Item {
    FrontOfName front;
    uint32_t entry;
  };
  std::vector<Item> items;
  items.reserve(directory.entries.size());
  for (uint32_t i = 0; i < directory.entries.size(); ++i) {
    const auto name = directory.Name(directory.entries[i]);
    const auto reason = ReasonToHide(name);
    if (reason.empty()) {
      items.push_back({FrontOf(name), i});
    } else {
      report(name, reason);
    }
  }
  const auto name_of = [&](const Item& item) {
    return directory.Name(directory.entries[item.entry]);
  };
  std::sort(items.begin(), items.end(), [&](const Item& a, const Item& b) {
    if (a.front != b.front) return a.front < b.front;
    const auto name_a = name_of(a);
    const auto name_b = name_of(b);
    return name_a == name_b ? a.entry > b.entry : PathLess(name_a, name_b);
  });
  const auto last = std::unique(items.begin(), items.end(), [&](const Item& a, const Item& b) {
    return a.front == b.front && name_of(a) == name_of(b);
  });
  std::vector<uint32_t> sorted;
  sorted.reserve(static_cast<size_t>(last - items.begin()));
  std::transform(items.begin(), last, std::back_inserter(sorted),
                 [](const Item& item) { return item.entry; });
  return sorted;
}

}  // namespace

struct MemberTree::Pending {
  uint32_t node;
  uint32_t directory;  // in directories_
  uint32_t begin;      // range of the sorted entries below this directory
  uint32_t end;
  uint32_t path_size;  // bytes of the directory's path, its last slash included
};

MemberTree::MemberTree(const zip::CentralDirectory& directory, const HiddenReport& report)
    : directory_(directory) {
  const auto sorted = SortedEntries(directory, report);
  nodes_.reserve(sorted.size() + 1);
  nodes_.push_back({.parent = 0, .name_size = 0, .name_offset = 0, .is_directory = 1, .index = 0});
  directories_.emplace_back();
  // Breadth first, so that siblings are neighbours.
  std::vector<Pending> queue{{0, 0, 0, static_cast<uint32_t>(sorted.size()), 0}};
  for (size_t i = 0; i < queue.size(); ++i) AddChildren(Pending(queue[i]), sorted, queue, report);
  nodes_.shrink_to_fit();
  directories_.shrink_to_fit();
}

void MemberTree::AddChildren(const Pending& pending, std::span<const uint32_t> sorted,
                             std::vector<Pending>& queue, const HiddenReport& report) {
  const auto first_child = static_cast<uint32_t>(nodes_.size());
  uint32_t i = pending.begin;
  while (i < pending.end) {
    const auto& entry = directory_.entries[sorted[i]];
    const auto path = directory_.Name(entry);
    if (path.size() == pending.path_size) {  // the directory's own entry, "name/"
      directories_[pending.directory].entry = sorted[i++];
      continue;
    }
    const auto component =
        path.substr(pending.path_size, path.find('/', pending.path_size) - pending.path_size);
    const size_t end_of_component = pending.path_size + component.size();
    const auto belongs = [&](uint32_t k) {
      const auto other = directory_.Name(directory_.entries[sorted[k]]);
      return other.size() > end_of_component && other[end_of_component] == '/' &&
             other.substr(pending.path_size, component.size()) == component;
    };
    const bool is_file = path.size() == end_of_component;
    const uint32_t first_below = is_file ? i + 1 : i;
    uint32_t end_below = first_below;
    while (end_below < pending.end && belongs(end_below)) ++end_below;
    const bool is_directory = end_below > first_below;
    if (is_file && is_directory) report(path, "its name is also a directory");

    if (nodes_.size() == kMostNodes)
      throw util::Error(EFBIG, fmt::format("it has more members than the limit of {}", kMostNodes));
    const auto index = static_cast<uint32_t>(nodes_.size());
    const auto directory = static_cast<uint32_t>(directories_.size());
    // No bits are lost: nodes are counted above, and entries are fewer (zip/limits.h).
    nodes_.push_back({.parent = pending.node & (kMostNodes - 1),
                      .name_size = static_cast<uint8_t>(component.size()),
                      .name_offset = entry.name_offset + pending.path_size,
                      .is_directory = is_directory,
                      .index = (is_directory ? directory : sorted[i]) & INT32_MAX});
    if (is_directory) {
      ++directories_[pending.directory].directory_count;
      directories_.emplace_back();
      queue.push_back(
          {index, directory, first_below, end_below, static_cast<uint32_t>(end_of_component + 1)});
    }
    i = std::max(end_below, i + 1);
  }
  auto& made = directories_[pending.directory];
  made.first_child = first_child;
  made.child_count = static_cast<uint32_t>(nodes_.size()) - first_child;
}

Node MemberTree::At(uint32_t index) const {
  const Packed& packed = nodes_[index];
  Node node{.parent = packed.parent,
            .name_offset = packed.name_offset,
            .name_size = static_cast<uint8_t>(packed.name_size),
            .is_directory = packed.is_directory != 0};
  if (!node.is_directory) {
    node.entry = packed.index;
  } else {
    const Directory& directory = directories_[packed.index];
    node.entry = directory.entry;
    node.first_child = directory.first_child;
    node.child_count = directory.child_count;
    node.directory_count = directory.directory_count;
  }
  return node;
}

std::optional<uint32_t> MemberTree::Find(uint32_t directory, std::string_view name) const {
  const Node parent = At(directory);
  const auto begin = nodes_.begin() + parent.first_child;
  const auto end = begin + parent.child_count;
  const auto found = std::lower_bound(
      begin, end, name, [&](const Packed& node, std::string_view n) { return Name(node) < n; });
  if (found == end || Name(*found) != name) return std::nullopt;
  return static_cast<uint32_t>(found - nodes_.begin());
}

}  // namespace skopsfs::archive
