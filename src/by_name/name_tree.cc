#include "by_name/name_tree.h"

#include <algorithm>
#include <deque>
#include <unordered_map>
#include <utility>

#include "by_name/safe_name.h"
#include "util/error.h"
#include "util/hash.h"

namespace skopsfs::by_name {
namespace {

using util::Error;

constexpr uint32_t kCounts = (1U << 30) - 1;  // more than there are nodes
constexpr auto kNameOfRoot = "root";          // of a model that is nothing but an array

}  // namespace

class NameTree::Builder {
 public:
  Builder(NameTree& tree, const ObjectTree& objects) : tree_(tree), objects_(objects) {
    CollectIds();
  }

  // Breadth first, so that siblings are neighbours.
  void Build() {
    const Object& root = objects_.root;
    AddNode(names_.Add("", ""), Kind::kFolder, 0, 0);
    folders_.push_back({&root, 0, 0, nullptr});
    if (root.is_member()) {  // a model that is itself kept in a member
      names_.BeginFolder();
      std::vector<Child> only;
      AddChild(only, root, kNameOfRoot);
      AddChildren(folders_[0], std::move(only));
      return;
    }
    for (size_t i = 0; i < folders_.size(); ++i) AddChildren(folders_[i], ChildrenOf(folders_[i]));
  }

 private:
  struct Folder {
    const Object* object;
    uint32_t node;
    uint32_t depth;
    const Folder* above;
  };
  struct Child {
    UniqueNames::Name* name;
    const Object* object;
    Kind kind;
  };

  // Of objects with the same id the first one counts, from the top.
  void CollectIds() {
    bool has_references = false;
    std::vector<const Object*> left = {&objects_.root};
    while (!left.empty()) {
      const Object& object = *left.back();
      left.pop_back();
      has_references = has_references || object.is_reference;
      if (object.id != 0 && !object.is_reference) by_id_.try_emplace(object.id, &object);
      if (object.next != kNone) left.push_back(&objects_.At(object.next));
      if (!object.children.empty()) left.push_back(&objects_.At(object.children.first));
    }
    if (!has_references) by_id_ = {};
  }

  // What a reference stands for; nullptr where that is unknown, or holds the reference itself.
  const Object* Resolve(const Object& object, const Folder& folder) const {
    if (!object.is_reference) return &object;
    const auto found = by_id_.find(object.id);
    if (found == by_id_.end()) return nullptr;
    for (const Folder* above = &folder; above != nullptr; above = above->above) {
      if (above->object == found->second) return nullptr;
    }
    return found->second;
  }

  std::vector<Child> ChildrenOf(const Folder& folder) {
    names_.BeginFolder();
    std::vector<Child> children;
    ObjectIndex at = folder.object->children.first;
    for (; at != kNone; at = objects_.At(at).next) {
      const Object& given = objects_.At(at);
      const Object* const object = Resolve(given, folder);
      if (object != nullptr) AddChild(children, *object, objects_.NameOf(given));
    }
    return children;
  }

  void AddChild(std::vector<Child>& children, const Object& object, std::string_view called) {
    RequireRoom(children.size());
    const std::string name = SafeName(called);
    const std::string_view suffix =
        object.suffix == nullptr ? "" : std::string_view(*object.suffix);
    const Kind kind = object.is_member() ? Kind::kLink : Kind::kFolder;
    children.push_back({&names_.Add(name, suffix), &object, kind});
    if (suffix == ".npz") children.push_back({&names_.Add(name, ""), &object, Kind::kNpz});
  }

  void RequireRoom(size_t more) const {
    if (tree_.size() + more >= kMostNodes) {
      throw Error(EFBIG, "by-name has more names than the limit");
    }
  }

  void AddChildren(const Folder& folder, std::vector<Child> children) {
    std::sort(children.begin(), children.end(),
              [](const Child& a, const Child& b) { return a.name->first < b.name->first; });
    const auto first = tree_.size();
    for (const auto& child : children) {
      const uint32_t member = child.object->member;
      if (child.kind == Kind::kFolder) AddFolder(*child.object, folder);
      AddNode(*child.name, child.kind, folder.node, child.kind == Kind::kFolder ? 0 : member);
    }
    Packed& node = tree_.nodes_[folder.node];
    node.target = first;
    node.count = (tree_.size() - first) & kCounts;
  }

  void AddNode(UniqueNames::Name& name, Kind kind, uint32_t parent, uint32_t target) {
    RequireRoom(0);
    const uint32_t index = tree_.size();
    Packed& node = tree_.nodes_.emplace_back();
    node.parent = parent & (kMostIndexes - 1);
    node.name_size = static_cast<uint8_t>(name.first.size());
    node.name_offset = OffsetOf(name);
    node.target = target;
    node.kind = static_cast<uint8_t>(kind) & 3U;
    if (kind == Kind::kNpz) {
      node.count = tree_.npz_count() & kCounts;
      tree_.npz_.push_back(index);
    }
  }

  void AddFolder(const Object& object, const Folder& above) {
    if (above.depth == kDeepest) throw Error(EFBIG, "by-name is nested too deeply");
    folders_.push_back({&object, tree_.size(), above.depth + 1, &above});
  }

  uint32_t OffsetOf(UniqueNames::Name& name) {
    uint32_t& offset = name.second.offset;
    if (offset != UniqueNames::kNowhere) return offset;
    offset = static_cast<uint32_t>(tree_.names_.size());
    tree_.names_ += name.first;
    if (tree_.names_.size() > kMostNameBytes) {
      throw Error(EFBIG, "by-name has longer names than the limit");
    }
    return offset;
  }

  NameTree& tree_;
  const ObjectTree& objects_;
  std::unordered_map<uint64_t, const Object*> by_id_;
  std::deque<Folder> folders_;  // which stay where they are
  UniqueNames names_;
};

NameTree::NameTree(const ObjectTree& objects) {
  Builder(*this, objects).Build();
  nodes_.shrink_to_fit();
  names_.shrink_to_fit();
  npz_.shrink_to_fit();
}

NameTree::Node NameTree::At(uint32_t index) const {
  const Packed& packed = nodes_[index];
  Node node{
      .parent = packed.parent, .name = NameOf(packed), .kind = static_cast<Kind>(packed.kind)};
  if (node.kind == Kind::kFolder) {
    node.first_child = packed.target;
    node.child_count = packed.count;
  } else {
    node.member = packed.target;
  }
  return node;
}

std::optional<uint32_t> NameTree::Find(uint32_t folder, std::string_view name) const {
  const Node parent = At(folder);
  const auto begin = nodes_.begin() + parent.first_child;
  const auto end = begin + parent.child_count;
  const auto found = std::lower_bound(
      begin, end, name, [&](const Packed& node, std::string_view n) { return NameOf(node) < n; });
  if (found == end || NameOf(*found) != name) return std::nullopt;
  return static_cast<uint32_t>(found - nodes_.begin());
}

size_t NameTree::DepthOf(uint32_t index) const {
  size_t depth = 0;
  for (uint32_t above = nodes_[index].parent; above != 0; above = nodes_[above].parent) ++depth;
  return depth;
}

uint64_t NameTree::Fingerprint() const {
  util::Hash hash;
  hash.Add(names_);
  for (const auto& node : nodes_) {
    hash.Add(uint64_t{node.name_offset} << 32 | node.target);
    hash.Add(uint64_t{node.count} << 10 | uint64_t{node.kind} << 8 | node.name_size);
  }
  return std::max<uint64_t>(hash.value(), 1);
}

}  // namespace skopsfs::by_name
