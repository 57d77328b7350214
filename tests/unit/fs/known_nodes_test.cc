#include "fs/known_nodes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fs/file_system.h"
#include "support/archive_files.h"
#include "support/errors.h"
#include "support/kernel.h"
#include "support/log_capture.h"
#include "support/slot_peer.h"

namespace skopsfs::fs {
namespace {

using testing::ErrnoOf;
using ::testing::IsEmpty;

constexpr auto kNestedSchema =
    R"({"__loader__": "S", "content": {"coef_": {"__loader__": "N", "file": "1.npy"},)"
    R"( "steps": {"__loader__": "L", "content": [{"__loader__": "N", "file": "d/2.npy"}]},)"
    R"( "sparse": {"__loader__": "M", "file": "3.npz"}}})";

class KnownNodesTest : public ::testing::Test {
 protected:
  KnownNodesTest() {
    testing::ArchiveBuilder npz;
    npz.Add({.name = "data.npy", .data = "1"}).Add({.name = "deep/er/x.npy", .data = "x"});
    testing::ArchiveBuilder()
        .Add({.name = "1.npy", .data = "1"})
        .Add({.name = "d/2.npy", .data = "22"})
        .Add({.name = "d/deeper/still/m", .data = "22"})
        .Add({.name = "3.npz", .data = npz.Build()})
        .Add({.name = "schema.json", .data = kNestedSchema})
        .WriteTo(folder_ / "a.skops");
  }

  // All that can be reached, as the kernel comes to know it.
  static void Walk(testing::Kernel& kernel, FileSystem& fs, NodeId node,
                   std::map<uint64_t, NamedNode>& found) {
    for (const auto& item : kernel.List(node, true)) {
      if (item.name == "." || item.name == "..") continue;
      const NodeId child = item.entry.node;
      found[child.number()] = {child, node, item.name};
      if (S_ISDIR(fs.GetAttributes(child).attributes.st_mode)) Walk(kernel, fs, child, found);
    }
  }
  static std::optional<uint64_t> NumberOf(const KnownNodes& known, NodeId node) {
    for (uint64_t i = 0; i < known.size(); ++i) {
      if (known.At(i) == node) return i;
    }
    return std::nullopt;
  }
  static std::map<uint64_t, NamedNode> NamesOf(FileSystem& fs,
                                               const std::shared_ptr<catalog::Slot>& slot,
                                               uint64_t at_a_time) {
    std::map<uint64_t, NamedNode> named;
    for (uint64_t first = 0; first < KnownNodes(*slot).size(); first += at_a_time) {
      const auto some = fs.NamesOf(slot, first, at_a_time);
      EXPECT_LE(some.size(), at_a_time);
      for (const auto& item : some) {
        EXPECT_TRUE(named.emplace(item.node.number(), item).second) << item.name << " came twice";
      }
    }
    return named;
  }
  static void ExpectSame(const NamedNode& named, const NamedNode& expected) {
    EXPECT_EQ(named.parent, expected.parent) << expected.name;
    EXPECT_EQ(named.name, expected.name);
  }

  const testing::TempFolder folder_;
  const testing::LogCapture log_;
  FileSystem fs_{folder_.path().string(), {}};
  testing::Kernel kernel_{fs_};
};

TEST_F(KnownNodesTest, OneThatNobodyLookedInto) {
  const NodeId node = kernel_.Node("a.skops");
  const auto slot = fs_.catalog().slots().Get(node.slot);
  const KnownNodes known(*slot);
  ASSERT_EQ(known.size(), 1U);
  EXPECT_EQ(known.At(0), node);
  const auto named = fs_.NamesOf(slot, 0, 100);
  ASSERT_EQ(named.size(), 1U);
  ExpectSame(named[0], {node, kRoot, "a.skops"});
  EXPECT_EQ(slot->open().index, nullptr) << "nothing was read for that";
}

TEST_F(KnownNodesTest, WhatIsInADirectoryComesBeforeIt) {
  const NodeId node = kernel_.Node("a.skops");
  std::map<uint64_t, NamedNode> found;
  Walk(kernel_, fs_, node, found);
  ASSERT_EQ(found.size(), 18U);
  const KnownNodes known(*fs_.catalog().slots().Get(node.slot));
  EXPECT_EQ(known.At(known.size() - 1), node) << "the version is the last";
  for (const auto& [number, item] : found) {
    const auto at = NumberOf(known, item.node);
    const auto parent = NumberOf(known, item.parent);
    ASSERT_TRUE(at) << item.name;
    ASSERT_TRUE(parent) << item.name;
    EXPECT_LT(*at, *parent) << item.name;
  }
}

TEST_F(KnownNodesTest, TheirNamesAreThoseThatLeadToThem) {
  for (const bool is_single : {false, true}) {
    FileSystem fs(is_single ? folder_ / "a.skops" : folder_.path().string(), {});
    testing::Kernel kernel(fs);
    const NodeId top = is_single ? kRoot : kernel.Node("a.skops");
    std::map<uint64_t, NamedNode> found;
    Walk(kernel, fs, top, found);
    const auto slot = is_single ? fs.catalog().SingleArchive() : fs.catalog().slots().Get(top.slot);
    for (const uint64_t at_a_time : {1, 7, 10'000}) {
      const auto named = NamesOf(fs, slot, at_a_time);
      EXPECT_EQ(named.size(), found.size() + (is_single ? 0 : 1));
      for (const auto& [number, item] : found) {
        const auto at = named.find(number);
        ASSERT_NE(at, named.end()) << item.name;
        ExpectSame(at->second, item);
      }
    }
    EXPECT_THAT(fs.NamesOf(slot, UINT64_MAX, 10), IsEmpty());
    EXPECT_THAT(fs.NamesOf(slot, KnownNodes(*slot).size(), 10), IsEmpty());
  }
}

TEST_F(KnownNodesTest, OfAReplacedVersion) {
  const NodeId node = kernel_.Node("a.skops");
  const NodeId member = kernel_.Node("a.skops/1.npy");
  kernel_.Contents("a.skops/1.npy");
  const auto slot = fs_.catalog().slots().Get(node.slot);
  testing::ReplaceFile(folder_ / "a.skops", testing::ArchiveOf("new"));
  EXPECT_EQ(fs_.NamesOf(slot, KnownNodes(*slot).size() - 1, 1).size(), 1U)
      << "the kernel still has it by that name";
  const NodeId next = kernel_.Node("a.skops");
  EXPECT_NE(next, node);
  const auto named = NamesOf(fs_, slot, 100);
  EXPECT_FALSE(named.contains(node.number())) << "its name is that of another version";
  ASSERT_TRUE(named.contains(member.number()));
  ExpectSame(named.at(member.number()), {member, node, "1.npy"});
  EXPECT_EQ(fs_.NamesOf(fs_.catalog().slots().Get(next.slot), 0, 100).size(), 1U);
}

TEST_F(KnownNodesTest, OneWhoseFileIsGone) {
  const NodeId node = kernel_.Node("a.skops");
  kernel_.Node("a.skops/1.npy");
  const auto slot = fs_.catalog().slots().Get(node.slot);
  catalog::SlotPeer(slot).DropFile();
  catalog::SlotPeer(slot).DropIndex();
  std::filesystem::remove(folder_ / "a.skops");
  EXPECT_EQ(ErrnoOf([&] { fs_.NamesOf(slot, 0, 100); }), ESTALE);
  EXPECT_GT(KnownNodes(*slot).size(), 5U) << "its nodes are still told";
}

// Who wrote the record may have been led astray.
TEST_F(KnownNodesTest, HostileCountsAreClamped) {
  const NodeId node = kernel_.Node("a.skops");
  kernel_.Node("a.skops/1.npy");
  const auto slot = fs_.catalog().slots().Get(node.slot);
  const auto set_all = [&](uint32_t count) {
    slot->record->members = count;
    slot->record->names = count;
    slot->record->npz = count;
  };
  set_all(UINT32_MAX);
  const KnownNodes most(*slot);
  const uint64_t inner =
      uint64_t{by_name::NameTree::kMostIndexes / 2} * archive::InnerArchive::kMostNodes;
  const uint64_t names = by_name::NameTree::kMostIndexes;
  EXPECT_EQ(most.size(), inner + names + archive::MemberTree::kMostNodes);
  for (const uint64_t at : {uint64_t{0}, inner - 1}) EXPECT_TRUE(most.At(at).is_inner()) << at;
  for (const uint64_t at : {inner, inner + names - 1}) EXPECT_TRUE(most.At(at).is_name()) << at;
  for (const uint64_t at :
       {uint64_t{0}, inner - 1, inner, inner + names - 1, inner + names, most.size() - 1}) {
    EXPECT_EQ(NodeId::From(most.At(at).number()), most.At(at)) << "of no other slot";
    EXPECT_EQ(most.At(at).slot, node.slot);
  }
  EXPECT_EQ(most.At(inner + names), (NodeId{.slot = node.slot, .index = NodeId::kFirstName - 1}));
  EXPECT_EQ(most.At(most.size() - 1), node);
  // What is not there has no name, or says that it is not there.
  EXPECT_THAT(fs_.NamesOf(slot, 0, 100), IsEmpty());
  EXPECT_LT(KnownNodes(*slot).size(), most.size()) << "reading the names has put it right";
  set_all(UINT32_MAX);
  EXPECT_EQ(ErrnoOf([&] { fs_.NamesOf(slot, inner, 1); }), ESTALE);
  EXPECT_EQ(ErrnoOf([&] { fs_.NamesOf(slot, inner + names, 1); }), ESTALE);
  set_all(0);
  EXPECT_EQ(KnownNodes(*slot).size(), 1U);
  EXPECT_EQ(KnownNodes(*slot).At(0), node);
}

}  // namespace
}  // namespace skopsfs::fs
