#include "by_name/schema_reader.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "support/errors.h"

namespace skopsfs::by_name {
namespace {

using ::testing::ElementsAre;
using testing::ErrnoOf;
using ::testing::IsEmpty;

// Members "1.npy" to "9.npy", of these indexes; bytes "1.bin".
std::optional<Member> Find(std::string_view path) {
  static constexpr std::string_view kNames[] = {"",      "1.npy", "2.npy", "3.npy", "4.npy",
                                                "5.npy", "6.npz", "7.bin", "8",     "9.it/is"};
  for (uint32_t i = 1; i < std::size(kNames); ++i) {
    if (path == kNames[i]) return Member{.index = i, .name = kNames[i]};
  }
  return std::nullopt;
}

ObjectTree Read(const std::string& json, size_t at_a_time = SIZE_MAX) {
  size_t offset = 0;
  return ReadObjects(
      [&](std::span<char> out) {
        const size_t size = std::min({out.size(), json.size() - offset, at_a_time});
        std::copy_n(json.begin() + static_cast<ptrdiff_t>(offset), size, out.begin());
        offset += size;
        return size;
      },
      Find);
}

void Collect(const ObjectTree& tree, const Object& object, const std::string& path,
             std::vector<std::string>& found) {
  if (object.is_member()) {
    found.push_back(path + *object.suffix + "=" + std::to_string(object.member));
  }
  if (object.is_reference) found.push_back(path + "->" + std::to_string(object.id));
  for (ObjectIndex at = object.children.first; at != kNone; at = tree.At(at).next) {
    const std::string name = tree.NameOf(tree.At(at));
    Collect(tree, tree.At(at), path.empty() ? name : path + "/" + name, found);
  }
}

// "path=member" of everything that the object leads to, in order.
std::vector<std::string> Paths(const std::string& json, size_t at_a_time = SIZE_MAX) {
  std::vector<std::string> found;
  const ObjectTree tree = Read(json, at_a_time);
  Collect(tree, tree.root, "", found);
  return found;
}

std::string Node(const std::string& loader, const std::string& rest = "") {
  return R"({"__class__": "c", "__module__": "m", "__loader__": ")" + loader + "\"" +
         (rest.empty() ? "" : ", " + rest) + "}";
}
std::string Array(int number) {
  return Node("NdArrayNode", R"("type": "numpy", "file": ")" + std::to_string(number) +
                                 R"(.npy", "__id__": )" + std::to_string(100 + number));
}
std::string Content(const std::string& json) { return "\"content\": " + json; }
std::string Dict(const std::string& items) {
  return Node("DictNode", R"("key_types": )" + Node("ListNode", Content("[]")) + ", " +
                              Content("{" + items + "}"));
}
std::string Estimator(const std::string& items) { return Node("ObjectNode", Content(Dict(items))); }
std::string Text(const std::string& text) {
  return Node("JsonNode", Content(R"("\")" + text + R"(\"")") + R"(, "is_json": true)");
}
std::string List(const std::string& items) { return Node("ListNode", Content("[" + items + "]")); }
std::string Tuple(const std::string& items) {
  return Node("TupleNode", Content("[" + items + "]"));
}

TEST(ReadObjects, AttributesOfAnEstimator) {
  EXPECT_THAT(Paths(Estimator("\"C\": " + Text("x") + ", \"coef_\": " + Array(1) +
                              ", \"intercept_\": " + Array(2))),
              ElementsAre("coef_.npy=1", "intercept_.npy=2"));
}

TEST(ReadObjects, AModelThatIsOneArray) { EXPECT_THAT(Paths(Array(3)), ElementsAre(".npy=3")); }

TEST(ReadObjects, WithoutArrays) {
  EXPECT_THAT(Paths(Estimator("\"a\": " + Text("x"))), IsEmpty());
  EXPECT_THAT(Paths(Text("x")), IsEmpty());
  EXPECT_THAT(Paths("{}"), IsEmpty());
  EXPECT_THAT(Paths("[]"), IsEmpty());
  EXPECT_THAT(Paths("null"), IsEmpty());
  EXPECT_THAT(Paths("\"text\""), IsEmpty());
  EXPECT_THAT(Paths("17"), IsEmpty());
}

TEST(ReadObjects, ListsTuplesAndSetsByNumber) {
  EXPECT_THAT(Paths(List(Text("a") + "," + Array(1) + "," + Array(2))),
              ElementsAre("1.npy=1", "2.npy=2"));
  EXPECT_THAT(Paths(Tuple(Array(1))), ElementsAre("0.npy=1"));
  EXPECT_THAT(Paths(Node("SetNode", Content("[" + Array(1) + "]"))), ElementsAre("0.npy=1"));
  EXPECT_THAT(Paths(List(List(Array(1)) + "," + List(Array(2)))),
              ElementsAre("0/0.npy=1", "1/0.npy=2"));
}

TEST(ReadObjects, StepsOfAPipelineByTheirNames) {
  const std::string step = Estimator("\"mean_\": " + Array(1));
  EXPECT_THAT(Paths(Estimator("\"steps\": " + List(Tuple(Text("scale") + "," + step) + "," +
                                                   Tuple(Text("pass") + "," + Text("through")) +
                                                   "," + Tuple(Text("last") + "," + Array(2))))),
              ElementsAre("steps/scale/mean_.npy=1", "steps/last.npy=2"));
}

TEST(ReadObjects, TransformersOfThreePartsByTheirNames) {
  const std::string part = Estimator("\"mean_\": " + Array(1));
  EXPECT_THAT(Paths(List(Tuple(Text("num") + "," + part + "," + Array(2)) + "," +
                         Tuple(Text("cat") + "," + Text("drop") + "," + Array(3)))),
              ElementsAre("num/1/mean_.npy=1", "num/2.npy=2", "cat/2.npy=3"));
}

TEST(ReadObjects, NamesThatAreNotDifferentOrNotSafeOrNotThere) {
  const auto pair = [](const std::string& name, int member) {
    return Tuple(Text(name) + "," + Array(member));
  };
  const auto by_number = ElementsAre("0/1.npy=1", "1/1.npy=2");
  EXPECT_THAT(Paths(List(pair("a", 1) + "," + pair("a", 2))), by_number);
  EXPECT_THAT(Paths(List(pair("a/b", 1) + "," + pair("c", 2))), by_number);
  EXPECT_THAT(Paths(List(pair("", 1) + "," + pair("c", 2))), by_number);
  EXPECT_THAT(Paths(List(Tuple(Array(3) + "," + Array(1)) + "," + pair("c", 2))),
              ElementsAre("0/0.npy=3", "0/1.npy=1", "1/1.npy=2"));
  EXPECT_THAT(Paths(List(pair("a", 1) + "," + Text("no pair"))), ElementsAre("0/1.npy=1"));
  EXPECT_THAT(Paths(List(Text("no pair") + "," + pair("a", 1))), ElementsAre("1/1.npy=1"));
  EXPECT_THAT(Paths(List(Tuple(Text("alone")) + "," + pair("a", 1))), ElementsAre("1/1.npy=1"));
  // A number is no name.
  EXPECT_THAT(Paths(List(Tuple(Node("JsonNode", Content("\"5\"")) + "," + Array(1)))),
              ElementsAre("0/1.npy=1"));
}

TEST(ReadObjects, ATree) {
  const std::string tree =
      Node("TreeNode", R"("__reduce__": {"args": )" + Tuple(Text("4") + "," + Array(1)) + "}, " +
                           Content(Dict("\"nodes\": " + Array(2) + ", \"values\": " + Array(3))));
  EXPECT_THAT(Paths(Estimator("\"tree_\": " + tree)),
              ElementsAre("tree_/args/1.npy=1", "tree_/nodes.npy=2", "tree_/values.npy=3"));
}

TEST(ReadObjects, WhatElseHoldsArrays) {
  EXPECT_THAT(Paths(Node("MaskedArrayNode",
                         Content("{\"data\": " + Array(1) + ", \"mask\": " + Array(2) + "}"))),
              ElementsAre("data.npy=1", "mask.npy=2"));
  EXPECT_THAT(
      Paths(Node("RandomStateNode", Content(Dict("\"state\": " + Dict("\"key\": " + Array(1)))))),
      ElementsAre("state/key.npy=1"));
  EXPECT_THAT(Paths(Node("RandomGeneratorNode",
                         Content("{\"bit_generator\": " + Dict("\"a\": " + Array(1)) + "}"))),
              ElementsAre("bit_generator/a.npy=1"));
  EXPECT_THAT(Paths(Estimator("\"dtype\": " + Node("DTypeNode", Content(Array(1))))),
              ElementsAre("dtype.npy=1"));
  EXPECT_THAT(
      Paths(Estimator("\"X\": " + Node("SparseMatrixNode", R"("type": "scipy", "file": "6.npz")"))),
      ElementsAre("X.npz=6"));
  EXPECT_THAT(Paths(Estimator("\"b\": " + Node("BytesNode", R"("file": "7.bin")"))),
              ElementsAre("b.bin=7"));
  EXPECT_THAT(Paths(Node("PartialNode", Content("{\"func\": " + Text("f") +
                                                ", \"args\": " + Tuple(Array(1)) + "}"))),
              ElementsAre("args/0.npy=1"));
  EXPECT_THAT(
      Paths(Node("MethodNode",
                 Content("{\"func\": \"f\", \"obj\": " + Estimator("\"a\": " + Array(1)) + "}"))),
      ElementsAre("obj/a.npy=1"));
  EXPECT_THAT(Paths(Node("ConstructorFromReduceNode", Content(Tuple(Array(1))))),
              ElementsAre("0.npy=1"));
  EXPECT_THAT(Paths(Node("DefaultDictNode", Content("{\"main\": " + Dict("\"a\": " + Array(1)) +
                                                    ", \"default_factory\": " + Array(2) + "}"))),
              ElementsAre("a.npy=1", "default_factory.npy=2"));
  EXPECT_THAT(Paths(Node("NdArrayNode", Content("[" + Array(1) + ", " + List(Array(2)) + "]") +
                                            R"(, "type": "json", "shape": )" + Tuple(Text("2")))),
              ElementsAre("0.npy=1", "1/0.npy=2"));
  EXPECT_THAT(
      Paths(Node("SomethingNewNode", "\"parts\": {\"a\": " + Array(1) + "}, " + Content(Array(2)))),
      ElementsAre("parts/a.npy=1", "content.npy=2"));
}

TEST(ReadObjects, KeysOfADictMayBeCalledAnything) {
  EXPECT_THAT(Paths(Dict("\"content\": " + Array(1) + ", \"__reduce__\": " + Array(2) +
                         ", \"main\": " + Array(3) + ", \"file\": " + Array(4) +
                         ", \"__loader__\": " + Array(5))),
              ElementsAre("content.npy=1", "__reduce__.npy=2", "main.npy=3", "file.npy=4",
                          "__loader__.npy=5"));
}

TEST(ReadObjects, TheOrderInWhichANodeIsWrittenDoesNotMatter) {
  EXPECT_THAT(
      Paths(R"({"content": {"content": {"a": {"file": "1.npy", "__loader__": "NdArrayNode"}},
                        "__loader__": "DictNode"}, "__loader__": "ObjectNode"})"),
      ElementsAre("a.npy=1"));
  EXPECT_THAT(Paths(R"([{"content": [{"content": "\"x\"", "__loader__": "JsonNode"},
                         {"file": "1.npy", "__loader__": "NdArrayNode"}], "__loader__": "TupleNode"}])"),
              ElementsAre("x.npy=1"));
}

TEST(ReadObjects, FilesThatAreNotThereAndOddOnes) {
  const auto file = [](const std::string& name) {
    return Estimator("\"a\": " + Node("NdArrayNode", "\"file\": \"" + name + "\""));
  };
  EXPECT_THAT(Paths(file("missing.npy")), IsEmpty());
  EXPECT_THAT(Paths(file("8")), ElementsAre("a=8"));
  EXPECT_THAT(Paths(file("9.it/is")), ElementsAre("a=9")) << "no suffix that is safe";
  EXPECT_THAT(Paths(file("")), IsEmpty());
}

TEST(ReadObjects, References) {
  EXPECT_THAT(Paths(List(Array(1) + "," + Node("CachedNode", "\"__id__\": 101"))),
              ElementsAre("0.npy=1", "1->101"));
}

TEST(ReadObjects, TextsAreDecoded) {
  EXPECT_THAT(Paths(Dict(R"("\u00e4\ud83d\ude00": )" + Array(1))), ElementsAre("ä😀.npy=1"));
  EXPECT_THAT(Paths(List(Tuple(Text(R"(\\u00e4)") + "," + Array(1)))), ElementsAre("ä.npy=1"));
}

TEST(ReadObjects, SurrogatesThatStandAlone) {
  EXPECT_THAT(Paths(Dict(R"("\ud83d": )" + Array(1))), ElementsAre("\xed\xa0\xbd.npy=1"));
  EXPECT_THAT(Paths(Dict(R"("a": )" + Text(R"(\\ud83d)") + ", \"b\": " + Array(1))),
              ElementsAre("b.npy=1"));
}

TEST(ReadObjects, OfOneKeyTheLastValueCounts) {
  EXPECT_THAT(Paths(Dict("\"a\": " + Array(1) + ", \"b\": " + Array(2) + ", \"a\": " + Array(3))),
              ElementsAre("a.npy=3", "b.npy=2"));
  EXPECT_THAT(Paths(Dict("\"a\": " + Array(1) + ", \"a\": null")), IsEmpty());
  EXPECT_THAT(Paths(Dict("\"a\": " + Array(1) + ", \"a\": null, \"a\": " + Array(2))),
              ElementsAre("a.npy=2"));
  EXPECT_THAT(Paths(Dict("\"a\": " + Dict("\"x\": " + Array(1)) + ", \"a\": " + Array(2))),
              ElementsAre("a.npy=2"));
  EXPECT_THAT(Paths(Node("N", R"("file": "1.npy", "file": null)")), IsEmpty());
  EXPECT_THAT(Paths(Node("N", R"("file": "1.npy", "file": "2.npy")")), ElementsAre(".npy=2"));
  EXPECT_THAT(Paths(Node("N", R"("file": "1.npy", "__loader__": null)")), IsEmpty());
  EXPECT_THAT(Paths(Dict("\"n\": " + Array(1) + ", \"d\": " + Dict("\"n\": " + Array(2)))),
              ElementsAre("n.npy=1", "d/n.npy=2"))
      << "the same key in another dict";
}

TEST(ReadObjects, LongTextsAreNoNames) {
  const std::string name(256, 'x');
  EXPECT_THAT(Paths(List(Tuple(Text(name) + "," + Array(1)))), ElementsAre("0/1.npy=1"));
  EXPECT_THAT(Paths(List(Tuple(Text(name.substr(1)) + "," + Array(1)))),
              ElementsAre(name.substr(1) + ".npy=1"));
}

TEST(ReadObjects, MissingMembersAreReported) {
  std::vector<std::string> missing;
  std::string json = Dict(R"("a": {"file": "no node"}, "b": )" + Node("N", R"("file": "x.npy")"));
  ReadObjects(
      [&](std::span<char> out) { return std::exchange(json, "").copy(out.data(), out.size()); },
      Find, [&](std::string_view path) { missing.emplace_back(path); });
  EXPECT_THAT(missing, ElementsAre("x.npy"));
}

TEST(ReadObjects, ObjectsAndNamesAreBounded) {
  const auto dict = [](size_t count, const std::string& key) {
    std::string items;
    for (size_t i = 0; i < count; ++i) {
      items += fmt::format(R"("{}{}": {{"__loader__":"N","file":"1.npy"}},)", key, i);
    }
    return Dict(items + "\"z\": 1");
  };
  EXPECT_EQ(Paths(dict(1000, "k")).size(), 1000U);
  EXPECT_EQ(ErrnoOf([&] { Read(dict(ObjectTree::kMostObjects + 1, "k")); }), EFBIG);
  EXPECT_EQ(ErrnoOf([&] { Read(dict(200, std::string(60'000, 'k'))); }), EFBIG);
  std::string nested;
  for (int i = 0; i < 200; ++i) nested += "{\"" + std::string(60'000, 'k') + "\": ";
  EXPECT_EQ(ErrnoOf([&] { Read(nested); }), EFBIG) << "keys of what is open";
}

TEST(ReadObjects, LevelsThatDoNotShowTakeNoRoom) {
  // Twice as many nodes as objects may be, of which each is wrapped in another one.
  std::string items;
  for (size_t i = 0; i < ObjectTree::kMostObjects / 4; ++i) {
    items += R"({"__loader__":"O","content":{"__loader__":"D","content":{"a":)" + Array(1) + "}}},";
  }
  EXPECT_EQ(Paths(List(items + "1")).size(), ObjectTree::kMostObjects / 4);
}

TEST(ReadObjects, AnyPiecesGiveTheSame) {
  const std::string json = Estimator("\"steps\": " + List(Tuple(Text("scale") + "," + Array(1))));
  for (const size_t size : {1, 2, 3, 7, 64}) {
    EXPECT_THAT(Paths(json, size), ElementsAre("steps/scale.npy=1")) << size;
  }
  // Beyond the buffer.
  const std::string long_one =
      Dict("\"t\": " + Text(std::string(200000, 'x')) + ", \"a\": " + Array(1));
  EXPECT_THAT(Paths(long_one), ElementsAre("a.npy=1"));
}

TEST(ReadObjects, WhatPythonWritesThatIsNoJson) {
  EXPECT_THAT(Paths(R"({"a": NaN, "b": Infinity, "c": -Infinity, "d": 1e300, "e": )" +
                    std::string(300, '9') + ", \"f\": " + Array(1) + "}"),
              ElementsAre("f.npy=1"));
}

TEST(ReadObjects, WhatIsNoSchemaFails) {
  for (const std::string json :
       {"", " ", "{", "[1,", "{\"a\"}", "nul", "{} {}", "\"\xff\"", "{1:2}", "{\"a\": 1,}"}) {
    EXPECT_EQ(ErrnoOf([&] { Read(json); }), EIO) << json;
  }
  EXPECT_EQ(ErrnoOf([&] { Read(std::string("{}\0", 3)); }), EIO);
}

TEST(ReadObjects, DepthIsBounded) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + Array(1) + std::string(depth, ']');
  };
  EXPECT_EQ(Paths(nested(1999)).size(), 1U);
  EXPECT_EQ(ErrnoOf([&] { Read(nested(2000)); }), EFBIG);
  EXPECT_EQ(ErrnoOf([&] { Read(std::string(10'000'000, '[')); }), EFBIG);
}

TEST(ReadObjects, FailuresOfTheSourceComeThrough) {
  EXPECT_EQ(ErrnoOf([] {
              ReadObjects([](std::span<char>) -> size_t { throw util::Error(ENOMEM, "test"); },
                          Find);
            }),
            ENOMEM);
}

}  // namespace
}  // namespace skopsfs::by_name
