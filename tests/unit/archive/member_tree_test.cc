#include "archive/member_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace skopsfs::archive {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

zip::CentralDirectory DirectoryOf(const std::vector<std::string>& names) {
  zip::CentralDirectory directory;
  for (const auto& name : names) {
    directory.entries.push_back({.name_offset = static_cast<uint32_t>(directory.names.size()),
                                 .raw_name_size = static_cast<uint32_t>(name.size()) & INT32_MAX});
    directory.names += name;
  }
  return directory;
}

class Tree {
 public:
  explicit Tree(const std::vector<std::string>& names)
      : directory_(DirectoryOf(names)),
        tree_(directory_, [this](auto name, auto reason) { hidden_.emplace_back(name, reason); }) {}

  // "name" for members, "name/" for directories, in the order of their nodes.
  std::vector<std::string> Children(uint32_t node = 0) const {
    std::vector<std::string> names;
    const Node parent = tree_.At(node);
    for (uint32_t i = 0; i < parent.child_count; ++i) {
      const Node child = tree_.At(parent.first_child + i);
      EXPECT_EQ(child.parent, node);
      names.push_back(std::string(tree_.Name(child)) + (child.is_directory ? "/" : ""));
    }
    return names;
  }

  std::optional<uint32_t> Find(std::string_view name, uint32_t directory = 0) const {
    return tree_.Find(directory, name);
  }
  Node At(uint32_t index) const { return tree_.At(index); }
  const std::vector<std::pair<std::string, std::string>>& hidden() const { return hidden_; }
  size_t size() const { return tree_.size(); }

 private:
  std::vector<std::pair<std::string, std::string>> hidden_;
  const zip::CentralDirectory directory_;
  const MemberTree tree_;
};

TEST(MemberTree, EmptyArchiveHasARoot) {
  const Tree tree({});
  EXPECT_EQ(tree.size(), 1U);
  EXPECT_TRUE(tree.At(0).is_directory);
  EXPECT_EQ(tree.At(0).parent, 0U);
  EXPECT_EQ(tree.At(0).entry, Node::kNoEntry);
  EXPECT_THAT(tree.Children(), IsEmpty());
  EXPECT_EQ(tree.Find("a"), std::nullopt);
}

TEST(MemberTree, FlatMembersSorted) {
  const Tree tree({"schema.json", "2.npy", "10.npy", "\xc3\xa9.npy"});
  EXPECT_THAT(tree.Children(), ElementsAre("10.npy", "2.npy", "schema.json", "\xc3\xa9.npy"));
  EXPECT_EQ(tree.At(*tree.Find("2.npy")).entry, 1U);
  EXPECT_EQ(tree.At(*tree.Find("10.npy")).entry, 2U);
  EXPECT_THAT(tree.hidden(), IsEmpty());
}

TEST(MemberTree, ImpliedDirectories) {
  const Tree tree({"a/b/c", "a/d", "e"});
  EXPECT_THAT(tree.Children(), ElementsAre("a/", "e"));
  const auto a = *tree.Find("a");
  EXPECT_EQ(tree.At(a).entry, Node::kNoEntry);
  EXPECT_THAT(tree.Children(a), ElementsAre("b/", "d"));
  EXPECT_THAT(tree.Children(*tree.Find("b", a)), ElementsAre("c"));
}

TEST(MemberTree, ExplicitDirectoriesKeepTheirEntry) {
  const Tree tree({"a/x", "a/", "empty/", "deep/er/"});
  EXPECT_THAT(tree.Children(), ElementsAre("a/", "deep/", "empty/"));
  EXPECT_EQ(tree.At(*tree.Find("a")).entry, 1U);
  EXPECT_EQ(tree.At(*tree.Find("empty")).entry, 2U);
  EXPECT_TRUE(tree.At(*tree.Find("empty")).is_directory);
  EXPECT_THAT(tree.Children(*tree.Find("empty")), IsEmpty());
  const auto deep = *tree.Find("deep");
  EXPECT_EQ(tree.At(deep).entry, Node::kNoEntry);
  EXPECT_EQ(tree.At(*tree.Find("er", deep)).entry, 3U);
  EXPECT_THAT(tree.hidden(), IsEmpty());
}

TEST(MemberTree, LastDuplicateWins) {
  const Tree tree({"a", "d/x", "a", "d/", "b", "d/x", "a", "d/"});
  EXPECT_THAT(tree.Children(), ElementsAre("a", "b", "d/"));
  EXPECT_EQ(tree.At(*tree.Find("a")).entry, 6U);
  const auto d = *tree.Find("d");
  EXPECT_EQ(tree.At(d).entry, 7U);
  EXPECT_EQ(tree.At(*tree.Find("x", d)).entry, 5U);
}

TEST(MemberTree, NameCutAtNulIsADuplicateToo) {
  const Tree tree({"a", std::string("a\0b", 3)});
  EXPECT_THAT(tree.Children(), ElementsAre("a"));
  EXPECT_EQ(tree.At(*tree.Find("a")).entry, 1U);
}

// '-' and '.' sort before '/', which must not come between a directory and what is below it.
TEST(MemberTree, NeighboursThatSortAroundTheSlash) {
  const Tree tree({"a.b", "a/z", "a", "a-", "a0", "a/b/c", "a/b-", "a/b.c/d"});
  EXPECT_THAT(tree.Children(), ElementsAre("a/", "a-", "a.b", "a0"));
  EXPECT_THAT(tree.Children(*tree.Find("a")), ElementsAre("b/", "b-", "b.c/", "z"));
  EXPECT_THAT(tree.hidden(), ElementsAre(Pair("a", "its name is also a directory")));
}

TEST(MemberTree, FileThatIsAlsoADirectoryIsNotShown) {
  for (const auto& names : {std::vector<std::string>{"a", "a/b"}, {"a/b", "a"}, {"a", "a/"}}) {
    const Tree tree(names);
    EXPECT_THAT(tree.Children(), ElementsAre("a/"));
    EXPECT_THAT(tree.hidden(), ElementsAre(Pair("a", HasSubstr("also a directory"))));
  }
}

TEST(MemberTree, NamesThatAreNotShown) {
  const std::vector<std::string> bad = {"",       "/",     "/etc/passwd", "//x", "a//b", "a//",
                                        ".",      "..",    "./a",         "a/.", "a/..", "../a",
                                        "a/../b", "a/./b", "../",         "./"};
  std::vector<std::string> names = bad;
  names.insert(names.begin() + 3, "good");
  const Tree tree(names);
  EXPECT_THAT(tree.Children(), ElementsAre("good"));
  std::vector<std::string> reported;
  for (const auto& [name, reason] : tree.hidden()) {
    reported.push_back(name);
    EXPECT_FALSE(reason.empty());
  }
  EXPECT_EQ(reported, bad);
}

TEST(MemberTree, DotsThatAreNames) {
  const Tree tree({"...", ".hidden", "a..b", "..a", "a.", "\\..\\x", "C:", " ", "a\nb"});
  EXPECT_EQ(tree.Children().size(), 9U);
  EXPECT_THAT(tree.hidden(), IsEmpty());
}

TEST(MemberTree, ComponentsUpTo255Bytes) {
  const std::string longest(255, 'x');
  const std::string too_long(256, 'y');
  const Tree tree({longest, longest + "/" + longest, "z/" + too_long, too_long + "/z", too_long});
  EXPECT_THAT(tree.Children(), ElementsAre(longest + "/"));
  EXPECT_THAT(tree.Children(*tree.Find(longest)), ElementsAre(longest));
  EXPECT_EQ(tree.hidden().size(), 4U);  // one is the file named as the directory
}

TEST(MemberTree, DirectoriesUpTo128Deep) {
  const auto below = [](int directories) {
    std::string name;
    for (int i = 0; i < directories; ++i) name += "d/";
    return name;
  };
  const Tree tree({below(128) + "deepest", below(129) + "deeper", below(129), below(130)});
  EXPECT_EQ(tree.size(),
            1 + 128 + 1 + 1U);  // the root, "d" 128 times, "deepest", "d" as a directory
  EXPECT_THAT(tree.hidden(), UnorderedElementsAre(Pair(below(129) + "deeper", "it lies too deep"),
                                                  Pair(below(130), "it lies too deep")));
}

TEST(MemberTree, FindIsExact) {
  const Tree tree({"b", "bb", "d/x"});
  EXPECT_EQ(tree.Find(""), std::nullopt);
  EXPECT_EQ(tree.Find("a"), std::nullopt);
  EXPECT_EQ(tree.Find("ba"), std::nullopt);
  EXPECT_EQ(tree.Find("bbb"), std::nullopt);
  EXPECT_EQ(tree.Find("d/x"), std::nullopt);
  EXPECT_EQ(tree.Find("x"), std::nullopt);
  EXPECT_EQ(tree.Find("x", *tree.Find("b")), std::nullopt);  // below a member there is nothing
}

// Random trees against a plain model: the map from paths to the last entry of that name.
TEST(MemberTree, RandomNamesAgainstAModel) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> names(random() % 40);
    for (auto& name : names) {
      const auto depth = random() % 3;
      // Bytes beside '/', and both sides of where comparing goes on by the whole name.
      const auto component = [&] {
        return std::string(random() % 3 == 0 ? 7 : 1, 'x') + "ab-.0\x01\xff"[random() % 7] + "x";
      };
      for (unsigned i = 0; i < depth; ++i) name += component() + "/";
      name += component();
    }
    std::map<std::string, uint32_t> expected;
    for (uint32_t i = 0; i < names.size(); ++i) expected[names[i]] = i;
    std::erase_if(expected, [&](const auto& item) {
      return std::any_of(names.begin(), names.end(),
                         [&](const auto& name) { return name.starts_with(item.first + "/"); });
    });

    const Tree tree(names);
    std::map<std::string, uint32_t> shown;
    const auto walk = [&](auto& self, uint32_t node, const std::string& path) -> void {
      const auto children = tree.Children(node);
      for (size_t i = 0; i < children.size(); ++i) {
        const uint32_t child = tree.At(node).first_child + static_cast<uint32_t>(i);
        const std::string name = children[i].substr(0, children[i].find('/'));
        ASSERT_EQ(tree.Find(name, node), child);
        if (tree.At(child).is_directory) {
          self(self, child, path + name + "/");
        } else {
          shown[path + name] = tree.At(child).entry;
        }
      }
    };
    walk(walk, 0, "");
    ASSERT_EQ(shown, expected) << "round " << round;
  }
}

}  // namespace
}  // namespace skopsfs::archive
