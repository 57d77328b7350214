#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "zip/central_directory.h"

namespace skopsfs::archive {

// One directory or member.
struct Node {
  static constexpr uint32_t kNoEntry = std::numeric_limits<uint32_t>::max();

  uint32_t parent = 0;        // index of the directory that holds it; the root holds itself
  uint32_t entry = kNoEntry;  // index into CentralDirectory::entries; none for implied directories
  uint32_t name_offset = 0;   // into CentralDirectory::names
  uint32_t first_child = 0;
  uint32_t child_count = 0;
  uint32_t directory_count = 0;  // of the children
  uint8_t name_size = 0;         // bytes; components are at most 255 long
  bool is_directory = false;
};

// Called with the name of each entry that is not shown and the reason.
using HiddenReport = std::function<void(std::string_view name, std::string_view reason)>;

// The entries of a central directory as a tree of directories and members. Node 0 is the root. The
// children of a directory follow one another, sorted by name, so that a lookup is a binary search
// and a node's index depends on the central directory alone. Immutable; keeps a reference to the
// directory.
class MemberTree {
 public:
  // Indexes stay below this, so that a node id has room for one.
  static constexpr uint32_t kMostNodes = 1U << 24;

  // Throws util::Error(EFBIG) where there would be more nodes.
  MemberTree(const zip::CentralDirectory& directory, const HiddenReport& report);

  size_t size() const { return nodes_.size(); }
  Node At(uint32_t index) const;
  std::string_view Name(const auto& node) const {
    return std::string_view(directory_.names).substr(node.name_offset, node.name_size);
  }
  std::optional<uint32_t> Find(uint32_t directory, std::string_view name) const;
  size_t memory_bytes() const {
    return nodes_.capacity() * sizeof(Packed) + directories_.capacity() * sizeof(Directory);
  }

 private:
  // As nodes are kept, since an archive may have a million members and few directories.
  struct Packed {
    uint32_t parent : 24;
    uint32_t name_size : 8;
    uint32_t name_offset;
    uint32_t is_directory : 1;
    uint32_t index : 31;  // of the entry; or, of a directory, into directories_
  };
  static_assert(sizeof(Packed) == 12);
  struct Directory {
    uint32_t entry = Node::kNoEntry;
    uint32_t first_child = 0;
    uint32_t child_count = 0;
    uint32_t directory_count = 0;
  };
  struct Pending;  // a directory whose children are still to be made

  void AddChildren(const Pending& pending, std::span<const uint32_t> sorted,
                   std::vector<Pending>& queue, const HiddenReport& report);

  const zip::CentralDirectory& directory_;
  std::vector<Packed> nodes_;
  std::vector<Directory> directories_;
};

}  // namespace skopsfs::archive
