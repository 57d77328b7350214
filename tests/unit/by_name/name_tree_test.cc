#include "by_name/name_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/errors.h"

namespace skopsfs::by_name {
namespace {

using ::testing::ElementsAre;
using testing::ErrnoOf;
using ::testing::IsEmpty;

// An object as a schema has it.
struct Spec {
  std::string name = {};
  uint32_t member = kNone;
  std::string suffix = {};
  uint64_t id = 0;
  bool is_reference = false;
  std::vector<Spec> children = {};
};
Spec Leaf(const std::string& name, uint32_t member, uint64_t id = 0) {
  return {.name = name, .member = member, .suffix = ".npy", .id = id};
}
Spec Folder(const std::string& name, std::vector<Spec> children, uint64_t id = 0) {
  return {.name = name, .id = id, .children = std::move(children)};
}
Spec Reference(const std::string& name, uint64_t id) {
  return {.name = name, .id = id, .is_reference = true};
}

Object ObjectOf(ObjectTree& tree, const Spec& spec) {
  Object object{.id = spec.id,
                .name = tree.Keep(spec.name),
                .suffix = tree.Keep(spec.suffix),
                .member = spec.member,
                .is_reference = spec.is_reference};
  for (const auto& child : spec.children) {
    tree.Append(object.children, tree.Add(ObjectOf(tree, child)));
  }
  return object;
}
NameTree TreeOf(const Spec& root) {
  ObjectTree objects;
  objects.root = ObjectOf(objects, root);
  return NameTree(objects);
}

void Collect(const NameTree& tree, uint32_t index, const std::string& path,
             std::vector<std::string>& found) {
  const auto node = tree.At(index);
  if (node.kind != NameTree::Kind::kFolder) {
    found.push_back(path + (node.is_link() ? "=" : "/=") + std::to_string(node.member));
    return;
  }
  for (uint32_t i = 0; i < node.child_count; ++i) {
    const uint32_t child = node.first_child + i;
    const std::string name(tree.At(child).name);
    EXPECT_EQ(tree.At(child).parent, index);
    EXPECT_EQ(tree.Find(index, name), child);
    Collect(tree, child, path.empty() ? name : path + "/" + name, found);
  }
}
std::vector<std::string> Paths(const NameTree& tree) {
  std::vector<std::string> found;
  Collect(tree, 0, "", found);
  return found;
}

TEST(NameTree, FoldersAndLinks) {
  const NameTree tree = TreeOf(
      Folder("", {Leaf("b", 1), Folder("steps", {Folder("one", {Leaf("x", 2)})}), Leaf("a", 3)}));
  EXPECT_THAT(Paths(tree), ElementsAre("a.npy=3", "b.npy=1", "steps/one/x.npy=2"));
  EXPECT_EQ(tree.Find(0, "nothing"), std::nullopt);
  const uint32_t steps = tree.Find(0, "steps").value();
  const uint32_t one = tree.Find(steps, "one").value();
  EXPECT_EQ(tree.DepthOf(steps), 0U);
  EXPECT_EQ(tree.DepthOf(tree.Find(one, "x.npy").value()), 2U);
}

TEST(NameTree, Empty) {
  const NameTree tree = TreeOf({});
  EXPECT_THAT(Paths(tree), IsEmpty());
  EXPECT_EQ(tree.size(), 1U);
}

TEST(NameTree, AModelThatIsOneArray) {
  EXPECT_THAT(Paths(TreeOf(Leaf("", 7))), ElementsAre("root.npy=7"));
}

TEST(NameTree, NamesAreMadeSafeAndDifferent) {
  const NameTree tree = TreeOf(
      Folder("", {Leaf("../x", 1), Leaf("a", 2), Leaf("a", 3), Folder("a.npy", {Leaf("", 4)})}));
  EXPECT_THAT(Paths(tree), ElementsAre("..%2Fx.npy=1", "a.npy=2", "a.npy~2/%.npy=4", "a~2.npy=3"));
}

TEST(NameTree, SeveralNamesOfOneMember) {
  EXPECT_THAT(Paths(TreeOf(Folder("", {Leaf("a", 1), Leaf("b", 1)}))),
              ElementsAre("a.npy=1", "b.npy=1"));
}

TEST(NameTree, AnNpzIsAFolderToo) {
  Spec one = Leaf("X", 1);
  one.suffix = ".npz";
  Spec two = Leaf("a", 2);
  two.suffix = ".npz";
  const NameTree tree = TreeOf(Folder("", {one, two, Folder("X", {Leaf("b", 3)})}));
  EXPECT_THAT(Paths(tree), ElementsAre("X/=1", "X.npz=1", "X~2/b.npy=3", "a/=2", "a.npz=2"));
  ASSERT_EQ(tree.npz_count(), 2U);
  for (uint32_t i = 0; i < tree.npz_count(); ++i) {
    EXPECT_EQ(tree.At(tree.NodeOfNpz(i)).kind, NameTree::Kind::kNpz);
    EXPECT_EQ(tree.NumberOfNpz(tree.NodeOfNpz(i)), i);
  }
}

TEST(NameTree, ReferencesShowWhatTheyStandFor) {
  const NameTree tree = TreeOf(Folder("", {Folder("a", {Leaf("x", 1, 11)}, 10), Reference("b", 10),
                                           Reference("c", 11), Reference("d", 99)}));
  EXPECT_THAT(Paths(tree), ElementsAre("a/x.npy=1", "b/x.npy=1", "c.npy=1"));
}

TEST(NameTree, ReferencesToWhatTheyLieInEnd) {
  const NameTree tree = TreeOf(
      Folder("", {Folder("a", {Leaf("x", 1), Reference("self", 10), Reference("other", 20)}, 10),
                  Folder("b", {Leaf("y", 2), Reference("a", 10)}, 20)}));
  EXPECT_THAT(Paths(tree), ElementsAre("a/other/y.npy=2", "a/x.npy=1", "b/a/x.npy=1", "b/y.npy=2"));
}

TEST(NameTree, ReferencesThatMultiplyAreBounded) {
  Spec root = Folder("", {Folder("0", {Leaf("x", 1)}, 100)});
  for (uint64_t i = 1; i <= 40; ++i) {
    root.children.push_back(
        Folder(std::to_string(i), {Reference("a", 99 + i), Reference("b", 99 + i)}, 100 + i));
  }
  EXPECT_EQ(ErrnoOf([&] { TreeOf(root); }), EFBIG);
}

TEST(NameTree, DepthIsBounded) {
  const auto nested = [](size_t depth) {
    Spec object = Leaf("x", 1);
    for (size_t i = 0; i < depth; ++i) object = Folder("f", {object});
    return Folder("", {object});
  };
  EXPECT_EQ(TreeOf(nested(NameTree::kDeepest)).size(), NameTree::kDeepest + 2);
  EXPECT_EQ(ErrnoOf([&] { TreeOf(nested(NameTree::kDeepest + 1)); }), EFBIG);
}

TEST(NameTree, TakesLittleMemory) {
  // A forest: three links a tree.
  std::vector<Spec> trees;
  for (uint32_t i = 0; i < 10000; ++i) {
    trees.push_back(
        Folder(std::to_string(i), {Folder("tree_", {Leaf("nodes", 3 * i), Leaf("values", 3 * i + 1),
                                                    Folder("args", {Leaf("1", 3 * i + 2)})})}));
  }
  const NameTree tree = TreeOf(Folder("", {Folder("estimators_", std::move(trees))}));
  EXPECT_EQ(Paths(tree).size(), 30000U);
  EXPECT_LT(tree.memory_bytes(), 64 * 30000U);
}

TEST(NameTree, MarksTellTreesApart) {
  const NameTree tree = TreeOf(Folder("", {Leaf("a", 1), Folder("b", {Leaf("c", 2)})}));
  EXPECT_EQ(tree.Fingerprint(),
            TreeOf(Folder("", {Leaf("a", 1), Folder("b", {Leaf("c", 2)})})).Fingerprint());
  EXPECT_NE(tree.Fingerprint(),
            TreeOf(Folder("", {Leaf("a", 2), Folder("b", {Leaf("c", 2)})})).Fingerprint());
  EXPECT_NE(tree.Fingerprint(),
            TreeOf(Folder("", {Leaf("x", 1), Folder("b", {Leaf("c", 2)})})).Fingerprint());
  EXPECT_NE(tree.Fingerprint(), TreeOf(Folder("", {Leaf("a", 1), Folder("b", {})})).Fingerprint());
  EXPECT_NE(tree.Fingerprint(), 0U);
}

}  // namespace
}  // namespace skopsfs::by_name
