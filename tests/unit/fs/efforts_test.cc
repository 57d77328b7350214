// What a thread that is to answer others soon does not do, and for whom it does not wait.

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "fs/file_system.h"
#include "support/archive_files.h"
#include "support/effort.h"
#include "support/kernel.h"
#include "support/log_capture.h"
#include "support/samples.h"
#include "support/slot_peer.h"
#include "zip/format.h"

namespace skopsfs::fs {
namespace {

using testing::EffortOf;
using util::Effort;

constexpr auto kTwoArrays =
    R"({"__loader__": "S", "content": {"coef_": {"__loader__": "N", "file": "1.npy"},)"
    R"( "sparse": {"__loader__": "M", "file": "2.npz"}}})";

class EffortsTest : public ::testing::Test {
 protected:
  EffortsTest() {
    testing::ArchiveBuilder npz;
    npz.Add({.name = "data.npy", .data = "1"});
    testing::ArchiveBuilder()
        .Add({.name = "1.npy", .data = "1"})
        .Add({.name = "2.npz", .data = npz.Build()})
        .Add({.name = "d/deflated", .data = "22222", .method = zip::kMethodDeflated})
        .Add({.name = "schema.json", .data = kTwoArrays})
        .WriteTo(folder_ / "a.skops");
    Start();
  }

  void Start(const FileSystem::Options& options = {}) {
    kernel_.reset();
    fs_ = std::make_unique<FileSystem>(folder_.path().string(), options);
    kernel_ = std::make_unique<testing::Kernel>(*fs_);
  }

  // All that can be asked of a node below an archive.
  std::vector<std::function<void()>> CallsOf(NodeId node) {
    return {[=, this] { fs_->GetAttributes(node); },
            [=, this] { fs_->MemberOf(node); },
            [=, this] { fs_->OpenDirectory(node); },
            [=, this] { kernel_->List(node); },
            [=, this] { fs_->ReadLink(node); },
            [=, this] { fs_->Lookup(node, "nothing"); },
            [=, this] { fs_->GetXattr(node, "user.skopsfs.error"); },
            [=, this] { fs_->ListXattr(node); }};
  }

  // As when its memory was needed for others.
  void ForgetIndex(const NodeId& node) {
    const auto slot = fs_->catalog().slots().Get(node.slot);
    const catalog::SlotPeer peer(slot);
    peer.DropReaders();
    peer.DropFile();
    peer.DropIndex();
    peer.DropNames();
  }

  const testing::TempFolder folder_;
  const testing::LogCapture log_;
  std::unique_ptr<FileSystem> fs_;
  std::unique_ptr<testing::Kernel> kernel_;
};

TEST_F(EffortsTest, NoIndexIsRead) {
  const NodeId archive = kernel_->Node("a.skops");
  EXPECT_EQ(EffortOf([&] { fs_->GetAttributes(archive); }), std::nullopt) << "it needs none";
  EXPECT_EQ(EffortOf([&] { fs_->Lookup(kRoot, "a.skops"); }), std::nullopt);
  fs_->Forget(archive, 1);
  EXPECT_EQ(EffortOf([&] { kernel_->Names(kRoot); }), std::nullopt);
  EXPECT_EQ(EffortOf([&] { fs_->Lookup(archive, "1.npy"); }), Effort::kOpen);
  EXPECT_EQ(EffortOf([&] { fs_->OpenDirectory(archive); }), Effort::kOpen);
  for (const auto* name : {"1.npy", "d", "by-name", "by-name/sparse", "by-name/sparse/data.npy"}) {
    const NodeId node = kernel_->Node(std::string("a.skops/") + name);
    int number = 0;
    for (const auto& call : CallsOf(node)) {
      ForgetIndex(node);
      const bool is_refused = number == (node.is_name() ? 1 : 4);  // no member, no link
      EXPECT_EQ(EffortOf(call), is_refused ? std::nullopt : std::optional(Effort::kOpen))
          << name << " " << number;
      ++number;
    }
  }
  EXPECT_EQ(fs_->catalog().open_archives().index_bytes(), 0U);
}

TEST_F(EffortsTest, WhatIsOpenIsAtHand) {
  const NodeId node = kernel_->Node("a.skops/1.npy");
  for (const auto& call : CallsOf(node)) EXPECT_EQ(EffortOf(call), std::nullopt);
  for (const auto& call : CallsOf(kernel_->Node("a.skops/d"))) {
    EXPECT_EQ(EffortOf(call), std::nullopt);
  }
  const auto member = fs_->MemberOf(node);
  EXPECT_EQ(EffortOf([&] { EXPECT_EQ(kernel_->Read(member, 0, 10), "1"); }), std::nullopt);
  ForgetIndex(node);
  EXPECT_EQ(EffortOf([&] { EXPECT_EQ(kernel_->Read(member, 0, 10), "1"); }), std::nullopt);
}

TEST_F(EffortsTest, NothingIsDecoded) {
  const auto deflated = fs_->MemberOf(kernel_->Node("a.skops/d/deflated"));
  EXPECT_EQ(EffortOf([&] { kernel_->Read(deflated, 0, 10); }), Effort::kDecode);
  EXPECT_EQ(EffortOf([&] { kernel_->Read(deflated, 0, 10); }, Effort::kDecode), std::nullopt);
  const NodeId by_name = kernel_->Node("a.skops/by-name");
  EXPECT_EQ(EffortOf([&] { fs_->GetAttributes(by_name); }), Effort::kDecode);
  EXPECT_EQ(EffortOf([&] { fs_->OpenDirectory(by_name); }), Effort::kDecode);
  EXPECT_EQ(EffortOf([&] { fs_->Lookup(by_name, "x"); }), Effort::kDecode);
  const NodeId npz = kernel_->Node("a.skops/by-name/sparse");
  EXPECT_EQ(EffortOf([&] { fs_->GetAttributes(npz); }), std::nullopt) << "it needs no more";
  EXPECT_EQ(EffortOf([&] { fs_->OpenDirectory(npz); }), Effort::kDecode);
  EXPECT_EQ(EffortOf([&] { fs_->Lookup(npz, "data.npy"); }), Effort::kDecode);
  EXPECT_EQ(EffortOf([&] { fs_->Lookup(npz, "data.npy"); }, Effort::kOpen), Effort::kDecode);
  kernel_->Names(npz);
  EXPECT_EQ(EffortOf([&] { fs_->OpenDirectory(npz); }), std::nullopt);
}

TEST_F(EffortsTest, NothingIsReadThrough) {
  Start({.proves_first = true});
  const NodeId node = kernel_->Node("a.skops/1.npy");
  EXPECT_EQ(EffortOf([&] { fs_->MemberOf(node); }), Effort::kDecode);
  fs_->MemberOf(node);
  EXPECT_EQ(EffortOf([&] { fs_->MemberOf(node); }), std::nullopt) << "once is enough";
}

TEST_F(EffortsTest, HugeIndexes) {
  testing::ArchiveBuilder builder;
  const std::string long_name(5000, 'x');
  for (int i = 0; i < 250; ++i) builder.Add({.name = std::to_string(i) + "/" + long_name});
  builder.WriteTo(folder_ / "huge.skops");
  const NodeId huge = kernel_->Node("huge.skops");
  const auto look = [&] { fs_->OpenDirectory(huge); };
  EXPECT_EQ(EffortOf(look), Effort::kOpen) << "nobody knows yet";
  EXPECT_EQ(EffortOf(look, Effort::kOpen), Effort::kHuge);
  EXPECT_EQ(EffortOf(look), Effort::kHuge);
  EXPECT_EQ(EffortOf(look, Effort::kHuge), std::nullopt);
  EXPECT_EQ(EffortOf(look), std::nullopt);
}

TEST_F(EffortsTest, HugeSchemas) {
  testing::ArchiveBuilder()
      .Add({.name = "schema.json", .data = std::string(size_t{1} << 20, ' ') + kTwoArrays})
      .Add({.name = "1.npy", .data = "1"})
      .WriteTo(folder_ / "huge.skops");
  const NodeId by_name = kernel_->Node("huge.skops/by-name");
  EXPECT_EQ(EffortOf([&] { fs_->OpenDirectory(by_name); }), Effort::kHuge);
}

// Other threads are at what this one is not to do.
TEST_F(EffortsTest, NobodyIsWaitedFor) {
  std::vector<NodeId> nodes;
  for (const auto* name : {"", "/1.npy", "/d", "/d/deflated", "/by-name", "/by-name/sparse",
                           "/by-name/sparse/data.npy"}) {
    nodes.push_back(kernel_->Node(std::string("a.skops") + name));
  }
  const auto slot = fs_->catalog().slots().Get(nodes[0].slot);
  const auto member = fs_->MemberOf(nodes[1]);
  const auto others = [&](const auto& call) {
    slot->WhileOpening([&] { slot->WhileReadingNames(call); });
  };
  const auto fast = [&] {
    for (const bool is_forgotten : {false, true}) {
      for (const auto& node : nodes) {
        for (const auto& call : CallsOf(node)) {
          if (is_forgotten) ForgetIndex(node);
          const auto effort = EffortOf(call);  // returns
          EXPECT_TRUE(is_forgotten || !effort);
        }
      }
      kernel_->Names(kRoot);
      EXPECT_EQ(kernel_->Read(member, 0, 10), "1");
      fs_->Tidy();
    }
  };
  others([&] { std::thread(fast).join(); });
}

}  // namespace
}  // namespace skopsfs::fs
