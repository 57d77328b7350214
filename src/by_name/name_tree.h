#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "by_name/object_tree.h"

namespace skopsfs::by_name {

// The directory `by-name` of one archive version, as a compact tree. Its nodes are folders and
// links to members; beside a link to an npz is the npz as a folder. Node 0 is the directory itself.
// The children of a folder follow one another, sorted by name. So a lookup is a binary search, and
// the index of a node depends on the schema alone. It owns all of its names. Immutable.
class NameTree {
 public:
  // Indexes stay below kMostIndexes, which a NodeId has room for, and there are no more nodes than
  // kMostNodes.
  static constexpr uint32_t kMostIndexes = 1U << 21;
  static constexpr uint32_t kMostNodes = ObjectTree::kMostObjects;
  static constexpr size_t kMostNameBytes = size_t{8} << 20;  // of all different names
  static constexpr size_t kDeepest = 256;                    // folders above a link

  enum class Kind : uint8_t { kFolder, kLink, kNpz };
  struct Node {
    uint32_t parent = 0;  // the root holds itself
    std::string_view name;
    Kind kind = Kind::kFolder;
    uint32_t member = 0;       // of a link or npz: which member that is
    uint32_t first_child = 0;  // of a folder
    uint32_t child_count = 0;

    bool is_link() const { return kind == Kind::kLink; }
  };

  // A reference becomes what it stands for, unless it lies in that. Throws util::Error(EFBIG)
  // beyond the limits of nodes, names and depth. Keeps nothing of `objects`.
  explicit NameTree(const ObjectTree& objects);

  uint32_t size() const { return static_cast<uint32_t>(nodes_.size()); }
  // The npz are numbered in the order of their nodes.
  uint32_t npz_count() const { return static_cast<uint32_t>(npz_.size()); }
  uint32_t NodeOfNpz(uint32_t number) const { return npz_[number]; }
  uint32_t NumberOfNpz(uint32_t index) const { return nodes_[index].count; }
  Node At(uint32_t index) const;
  std::optional<uint32_t> Find(uint32_t folder, std::string_view name) const;
  size_t DepthOf(uint32_t index) const;  // 0: directly in the root
  size_t memory_bytes() const {
    return sizeof(*this) + nodes_.capacity() * sizeof(Packed) + names_.capacity() +
           npz_.capacity() * sizeof(uint32_t);
  }

  // A hash of the tree that tells it from others; never 0.
  uint64_t Fingerprint() const;

 private:
  // As nodes are kept: a forest has a hundred thousand.
  struct Packed {
    uint32_t parent : 24;
    uint32_t name_size : 8;
    uint32_t name_offset;
    uint32_t target;  // the member, or the first child
    uint32_t kind : 2;
    uint32_t count : 30;  // of children; of an npz its number
  };
  static_assert(sizeof(Packed) == 16);
  class Builder;

  std::string_view NameOf(const Packed& node) const {
    return std::string_view(names_).substr(node.name_offset, node.name_size);
  }

  std::vector<Packed> nodes_;
  std::string names_;          // each name once, one after the other
  std::vector<uint32_t> npz_;  // nodes
};

}  // namespace skopsfs::by_name
