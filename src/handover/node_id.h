#pragma once

#include <cstdint>

namespace skopsfs::handover {

// What the kernel calls a node: the slot of a folder or archive version and an index inside it. A
// pure function, so there is no table of nodes. Index 0 is the folder or archive itself, those
// below kFirstName are members, those below kFirstInner are by-name and what is in it, and each npz
// there has room for its members above. The root (slot 0) is 1, because the kernel says so; other
// indexes of that slot are .skopsfs and what it holds, see status.h.
// What the bits mean, and what NameTree::Fingerprint() does, is handed over to the next worker: see
// kProtocolVersion.
struct NodeId {
  static constexpr unsigned kIndexBits = 29;
  static constexpr uint32_t kFirstName = uint32_t{1} << 24;
  static constexpr uint32_t kFirstInner = uint32_t{1} << 25;
  static constexpr uint32_t kOfAnNpz = 256;

  uint64_t slot = 0;
  uint32_t index = 0;

  bool operator==(const NodeId&) const = default;

  bool is_name() const { return index >= kFirstName && index < kFirstInner; }
  uint32_t name() const { return index - kFirstName; }  // index into the NameTree
  bool is_inner() const { return index >= kFirstInner; }
  uint32_t npz() const { return (index - kFirstInner) / kOfAnNpz; }    // its number
  uint32_t inner() const { return (index - kFirstInner) % kOfAnNpz; }  // index in what it holds
  static uint32_t FirstOf(uint32_t npz) { return kFirstInner + npz * kOfAnNpz; }

  // Of the hidden directory of the root, see StatusNode; the root itself has the index 0.
  bool is_status() const { return slot == 0 && index != 0; }

  uint64_t number() const { return *this == NodeId{} ? 1 : (slot << kIndexBits) | index; }
  static NodeId From(uint64_t number) {
    if (number == 1) return {};
    return {.slot = number >> kIndexBits,
            .index = static_cast<uint32_t>(number & ((1U << kIndexBits) - 1))};
  }
};

inline constexpr NodeId kRoot{};

}  // namespace skopsfs::handover
