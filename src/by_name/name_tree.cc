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

using ById = std::unordered_map<uint64_t, const Object*>;

void CollectIds(const Object& object, ById& found, bool& has_references) {
  has_references = has_references || object.is_reference;
  if (object.id != 0 && !object.is_reference) found.try_emplace(object.id, &object);
  for (const auto& child : object.children) CollectIds(child, found, has_references);
}

}  // namespace

class NameTree::Builder {
 public:
  Builder(NameTree& tree, const Object& root) : tree_(tree) {
    bool has_references = false;
    CollectIds(root, by_id_, has_references);
    if (!has_references) by_id_.clear();
  }

  // Breadth first, so that siblings are neighbours.
  void Build(const Object& root) {
    AddNode("", Kind::kFolder, 0, 0);
    Object holder;  // of a model that is itself kept in a member
    if (root.is_member()) {
      holder.children.push_back(
          {.name = kNameOfRoot, .member = root.member, .suffix = root.suffix});
    }
    folders_.push_back({root.is_member() ? &holder : &root, 0, nullptr});
    for (size_t i = 0; i < folders_.size(); ++i) AddChildren(folders_[i]);
  }

 private:
  struct Folder {
    const Object* object;
    uint32_t node;
    const Folder* above;
  };
  struct Child {
    std::string name;
    const Object* object;
    Kind kind;
  };

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

  std::vector<Child> ChildrenOf(const Folder& folder) const {
    UniqueNames names;
    std::vector<Child> children;
    for (const auto& given : folder.object->children) {
      const Object* const object = Resolve(given, folder);
      if (object == nullptr) continue;
      const std::string name = SafeName(given.name);
      const Kind kind = object->is_member() ? Kind::kLink : Kind::kFolder;
      children.push_back({names.Add(name, object->suffix), object, kind});
      if (object->suffix == ".npz") children.push_back({names.Add(name, ""), object, Kind::kNpz});
    }
    std::sort(children.begin(), children.end(),
              [](const Child& a, const Child& b) { return a.name < b.name; });
    return children;
  }

  void AddChildren(const Folder& folder) {
    const auto first = tree_.size();
    for (const auto& child : ChildrenOf(folder)) {
      const uint32_t member = child.object->member;
      if (child.kind == Kind::kFolder) AddFolder(*child.object, folder);
      AddNode(child.name, child.kind, folder.node, child.kind == Kind::kFolder ? 0 : member);
    }
    Packed& node = tree_.nodes_[folder.node];
    node.target = first;
    node.count = (tree_.size() - first) & kCounts;
  }

  void AddNode(const std::string& name, Kind kind, uint32_t parent, uint32_t target) {
    const uint32_t index = tree_.size();
    if (index == kMostNodes) throw Error(EFBIG, "by-name has more names than the limit");
    Packed& node = tree_.nodes_.emplace_back();
    node.parent = parent & (kMostNodes - 1);
    node.name_size = static_cast<uint8_t>(name.size());
    node.name_offset = OffsetOf(name);
    node.target = target;
    node.kind = static_cast<uint8_t>(kind) & 3U;
    if (kind == Kind::kLink) ++tree_.links_;
    if (kind == Kind::kNpz) {
      node.count = tree_.npz_count() & kCounts;
      tree_.npz_.push_back(index);
    }
  }

  void AddFolder(const Object& object, const Folder& above) {
    size_t depth = 0;
    for (const Folder* at = &above; at->above != nullptr; at = at->above) ++depth;
    if (depth == kDeepest) throw Error(EFBIG, "by-name is nested too deeply");
    folders_.push_back({&object, tree_.size(), &above});
  }

  uint32_t OffsetOf(const std::string& name) {
    const auto [known, is_new] =
        offsets_.try_emplace(name, static_cast<uint32_t>(tree_.names_.size()));
    if (is_new) tree_.names_ += name;
    return known->second;
  }

  NameTree& tree_;
  ById by_id_;
  std::deque<Folder> folders_;  // which stay where they are
  std::unordered_map<std::string, uint32_t> offsets_;
};

NameTree::NameTree(const Object& root) {
  Builder(*this, root).Build(root);
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

uint64_t NameTree::Mark() const {
  util::Hash hash;
  hash.Add(names_);
  for (const auto& node : nodes_) {
    hash.Add(uint64_t{node.name_offset} << 32 | node.target);
    hash.Add(uint64_t{node.count} << 10 | uint64_t{node.kind} << 8 | node.name_size);
  }
  return std::max<uint64_t>(hash.value(), 1);
}

}  // namespace skopsfs::by_name
