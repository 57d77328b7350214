#include "fs/known_nodes.h"

#include <algorithm>

#include "fs/file_system.h"

namespace skopsfs::fs {

// A node id has room for every index.
static_assert(archive::MemberTree::kMostNodes == NodeId::kFirstName);
static_assert(archive::InnerArchive::kMostNodes == NodeId::kOfAnNpz);
static_assert(NodeId::kFirstName + by_name::NameTree::kMostIndexes <= NodeId::kFirstInner);
static_assert(NodeId::kFirstInner +
                  uint64_t{by_name::NameTree::kMostIndexes / 2} * NodeId::kOfAnNpz <=
              uint64_t{1} << NodeId::kIndexBits);

KnownNodes::KnownNodes(const catalog::Slot& slot) : slot_(slot.id) {
  if (!slot.record) return;
  // Who wrote these may have been led astray.
  using by_name::NameTree;
  const auto& record = slot.record;
  inner_ = std::min<uint64_t>(record->npz, NameTree::kMostIndexes / 2) * NodeId::kOfAnNpz;
  // Of one that was looked into, by-name itself is known before what is in it.
  const uint64_t least = record->members > 0 ? 1 : 0;
  names_ = std::clamp<uint64_t>(record->names, least, NameTree::kMostIndexes);
  members_ = std::clamp<uint64_t>(record->members, 1, archive::MemberTree::kMostNodes);
}

NodeId KnownNodes::At(uint64_t number) const {
  const auto node = [&](uint64_t first, uint64_t index) {
    return NodeId{.slot = slot_, .index = static_cast<uint32_t>(first + index)};
  };
  if (number < inner_) return node(NodeId::kFirstInner, inner_ - 1 - number);
  number -= inner_;
  if (number < names_) return node(NodeId::kFirstName, names_ - 1 - number);
  return node(0, members_ - 1 - (number - names_));
}

NamedNode FileSystem::Named(const Located& located) const {
  NodeId parent{.slot = located.node.slot, .index = located.Parent()};
  if (parent.index == 0 && catalog_.source().is_single_archive()) parent = kRoot;
  const auto name = located.node.is_name() ? located.name().name
                                           : located.archive().tree().Name(located.member());
  return {located.node, parent, std::string(name)};
}

std::vector<NamedNode> FileSystem::NamesOf(const std::shared_ptr<catalog::Slot>& slot,
                                           uint64_t first, uint64_t most) {
  const bool is_single = catalog_.source().is_single_archive();
  const NodeId top = is_single ? kRoot : NodeId{.slot = slot->id, .index = 0};
  const KnownNodes known(*slot);
  std::vector<NamedNode> named;
  for (uint64_t number = first; number < std::min(known.size(), first + most); ++number) {
    const NodeId node = known.At(number);
    if (node == NodeId{.slot = slot->id, .index = NodeId::kFirstName}) {
      named.push_back({node, top, std::string(kByName)});
    } else if (node.index != 0) {
      try {
        named.push_back(Named(Locate(node)));
      } catch (const util::Error& error) {
        // Most numbers below an npz are of no member; or it is one that cannot be read.
        if (!node.is_inner()) throw;
      }
    } else if (!is_single && catalog_.IsNamed(*slot)) {
      named.push_back({node, {.slot = slot->parent->id, .index = 0}, slot->name});
    }
  }
  return named;
}

}  // namespace skopsfs::fs
