#include "ctl/tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/archive_builder.h"
#include "support/errors.h"
#include "support/samples.h"
#include "support/temp_folder.h"

namespace skopsfs::ctl {
namespace {

using testing::ArchiveBuilder;
using testing::DataPath;
using ::testing::ElementsAre;
using testing::ErrnoOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TempFolder;
using testing::WriteFile;

std::string Npy(const std::string& descr, const std::string& shape, size_t data) {
  std::string text = "{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + ", }";
  text += std::string((64 - (10 + text.size() + 1) % 64) % 64, ' ') + "\n";
  return std::string("\x93NUMPY\1\0", 8) +
         testing::LittleEndian(static_cast<uint16_t>(text.size())) + text + std::string(data, '\1');
}

std::string SchemaOf(const std::string& file, const std::string& loader = "NdArrayNode") {
  return R"({"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode", "content":
      {"coef_": {"__class__": "x", "__module__": "y", "__loader__": ")" +
         loader + R"(", "type": "numpy", "file": ")" + file + R"("}}})";
}

Tree TreeOf(ArchiveBuilder& archive) {
  const TempFolder folder;
  WriteFile(folder / "a.skops", archive.Build());
  return ReadTreeOfFile(folder / "a.skops");
}

template <typename PrintTree>
std::string Printed(const PrintTree& print_tree, const std::string& path, const Tree& tree) {
  std::string text;
  print_tree(path, tree, [&](std::string_view piece) { text += piece; });
  return text;
}
std::string TreeText(const std::string& path, const Tree& tree) {
  return Printed(PrintText, path, tree);
}
std::string TreeJson(const std::string& path, const Tree& tree) {
  return Printed(PrintJson, path, tree);
}

TEST(Tree, NamedArraysFirst) {
  ArchiveBuilder archive;
  archive.Add({.name = "other.bin", .data = "xyz"})
      .Add({.name = "schema.json", .data = SchemaOf("17.npy")})
      .Add({.name = "17.npy", .data = Npy("'<f8'", "(2, 3)", 48), .method = zip::kMethodDeflated});
  const Tree tree = TreeOf(archive);
  EXPECT_EQ(tree.names_problem, "");
  ASSERT_EQ(tree.items.size(), 3);
  EXPECT_EQ(tree.items[0].name, "coef_.npy");
  EXPECT_EQ(tree.items[0].member, "17.npy");
  EXPECT_EQ(tree.items[0].size, 128 + 48);
  EXPECT_EQ(tree.items[0].method, "deflated");
  EXPECT_EQ(tree.items[0].array.value().dtype, "float64");
  EXPECT_TRUE(tree.items[0].array->is_aligned());
  EXPECT_EQ(tree.items[1].name, "other.bin");
  EXPECT_FALSE(tree.items[1].is_named);
  EXPECT_EQ(tree.items[2].name, "schema.json");
  EXPECT_EQ(TreeText("a.skops", tree),
            "a.skops\n"
            "NAME         DTYPE    SHAPE   ORDER   SIZE  METHOD    ALIGNED  MEMBER\n"
            "coef_.npy    float64  (2, 3)  C      176 B  deflated  yes      17.npy\n"
            "other.bin                              3 B  stored\n"
            "schema.json                          " +
                std::to_string(SchemaOf("17.npy").size()) + " B  stored\n");
}

TEST(Tree, GenuineSparseMatricesShowTheirArrays) {
  const Tree tree = ReadTreeOfFile(DataPath("knn_sparse.skops"));
  const std::string text = TreeText("knn", tree);
  EXPECT_EQ(tree.names_problem, "");
  EXPECT_THAT(text, HasSubstr("/data.npy"));  // of the npz
  EXPECT_THAT(text, HasSubstr("\n_fit_X/\n"));
  EXPECT_THAT(text, HasSubstr("\n  indices.npy "));
  EXPECT_THAT(text, HasSubstr("int32"));
  for (const auto& item : tree.items) {
    EXPECT_EQ(item.problem, "") << item.name;
    EXPECT_EQ(item.array.has_value(), item.name.ends_with(".npy")) << item.name;
  }
}

TEST(Tree, AMemberOfSeveralNamesIsTheSameUnderEach) {
  ArchiveBuilder inner;
  inner.Add({.name = "data.npy", .data = Npy("'<f8'", "(2, 3)", 48)});
  inner.Add({.name = "bad.npy", .data = "no array"});
  const auto node = [](const std::string& file) {
    return R"({"__loader__": "NdArrayNode", "file": ")" + file + R"("})";
  };
  ArchiveBuilder archive;
  archive
      .Add({.name = "schema.json",
            .data = R"({"content": {"a": )" + node("1.npz") + R"(, "bc": )" + node("1.npz") +
                    R"(, "d": )" + node("2.npy") + R"(, "e": )" + node("2.npy") + "}}"})
      .Add({.name = "1.npz", .data = inner.Build()})
      .Add({.name = "2.npy", .data = Npy("'<i4'", "(3,)", 12)});
  const Tree tree = TreeOf(archive);
  std::vector<std::string> found;
  for (const auto& item : tree.items) {
    found.push_back(item.name + " " + item.member + " " + (item.array ? item.array->dtype : "-"));
  }
  EXPECT_THAT(found, ElementsAre("content/a/bad.npy 1.npz/bad.npy -",
                                 "content/a/data.npy 1.npz/data.npy float64",
                                 "content/a.npz 1.npz -", "content/bc/bad.npy 1.npz/bad.npy -",
                                 "content/bc/data.npy 1.npz/data.npy float64",
                                 "content/bc.npz 1.npz -", "content/d.npy 2.npy int32",
                                 "content/e.npy 2.npy int32", "schema.json schema.json -"));
  EXPECT_THAT(tree.items[3].problem, HasSubstr("no .npy header"));
}

TEST(Tree, FoldersOfNames) {
  Tree tree;
  for (const auto* name : {"a/b/1.npy", "a/b/2.npy", "a/c.npy", "d.npy"}) {
    tree.items.push_back({.name = name, .member = "m"});
  }
  EXPECT_THAT(TreeText("x", tree), HasSubstr("\na/\n  b/\n    1.npy"));
  EXPECT_THAT(TreeText("x", tree), HasSubstr("\n    2.npy"));
  EXPECT_THAT(TreeText("x", tree), HasSubstr("\n  c.npy"));
  EXPECT_THAT(TreeText("x", tree), HasSubstr("\nd.npy"));
}

TEST(Tree, WhatIsWrongIsSaidBesideIt) {
  ArchiveBuilder archive;
  archive.Add({.name = "schema.json", .data = SchemaOf("17.npz", "SparseMatrixNode")})
      .Add({.name = "17.npz", .data = "no archive"})
      .Add({.name = "bad.npy", .data = "no array"})
      .Add({.name = "secret", .data = "x", .flags = zip::kFlagEncrypted});
  const std::string text = TreeText("a", TreeOf(archive));
  EXPECT_THAT(text, HasSubstr("! not a ZIP archive"));
  EXPECT_THAT(text, HasSubstr("! no .npy header: it does not begin as one"));
  EXPECT_THAT(text, HasSubstr("encrypted"));
}

TEST(Tree, IsCutWhenItTakesTooMuchMemory) {
  Tree tree;
  const std::string name(60'000, 'x');
  size_t count = 0;
  while (tree.Add({.name = name})) ++count;
  EXPECT_LE(count, Tree::kMostBytes / name.size());
  EXPECT_GT(count, Tree::kMostBytes / name.size() / 2);
  EXPECT_FALSE(tree.Add({.name = "small"})) << "in the order of folders";
  EXPECT_TRUE(tree.is_cut);
  tree.items.resize(1);
  EXPECT_THAT(TreeText("x", tree), HasSubstr("these are the first 1 members"));
  EXPECT_THAT(TreeJson("x", tree), HasSubstr("\"is_cut\":true"));
}

TEST(Tree, WithoutNames) {
  ArchiveBuilder archive;
  archive.Add({.name = "schema.json", .data = "{"}).Add({.name = "a\033[2J.npy", .data = "x"});
  const Tree tree = TreeOf(archive);
  EXPECT_THAT(tree.names_problem, HasSubstr("not JSON"));
  EXPECT_THAT(TreeText("a", tree), HasSubstr("no names: schema.json is not JSON"));
  EXPECT_THAT(TreeText("a", tree), HasSubstr("\"a\\x1b[2J.npy\""));
  EXPECT_THAT(TreeJson("a", tree), HasSubstr(R"("name":null,"member":"a\u001B[2J.npy")"));
}

TEST(Tree, WhatIsNoArchive) {
  const TempFolder folder;
  WriteFile(folder / "a.skops", "none");
  EXPECT_EQ(ErrnoOf([&] { ReadTreeOfFile(folder / "a.skops"); }), EIO);
  EXPECT_EQ(ErrnoOf([&] { ReadTreeOfFile(folder / "b.skops"); }), ENOENT);
}

}  // namespace
}  // namespace skopsfs::ctl
