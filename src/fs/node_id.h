#pragma once

#include <cstdint>

#include "archive/member_tree.h"
#include "by_name/name_tree.h"

namespace skopsfs::fs {

// What the kernel calls a node: the slot of a folder or archive version and an index inside it. A
// pure function, so there is no table of nodes. Index 0 is the folder or archive itself, those
// below kFirstName are members, and those from it on are by-name and what is in it. The root (slot
// 0) is 1, because the kernel says so.
struct NodeId {
  static constexpr unsigned kIndexBits = 28;
  static constexpr uint32_t kFirstName = archive::MemberTree::kMostNodes;
  static_assert(kFirstName + by_name::NameTree::kMostNodes <= uint64_t{1} << kIndexBits);

  uint64_t slot = 0;
  uint32_t index = 0;

  bool operator==(const NodeId&) const = default;

  bool is_name() const { return index >= kFirstName; }
  uint32_t name() const { return index - kFirstName; }  // index into the NameTree

  uint64_t number() const { return slot == 0 ? 1 : (slot << kIndexBits) | index; }
  static NodeId From(uint64_t number) {
    if (number == 1) return {};
    return {.slot = number >> kIndexBits,
            .index = static_cast<uint32_t>(number & ((1U << kIndexBits) - 1))};
  }
};

inline constexpr NodeId kRoot{};

}  // namespace skopsfs::fs
