#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "fs/file_system.h"
#include "support/archive_files.h"
#include "support/effort.h"
#include "support/errors.h"
#include "support/kernel.h"
#include "support/log_capture.h"
#include "support/samples.h"
#include "support/slot_peer.h"

namespace skopsfs::fs {
namespace {

using ::testing::Contains;
using testing::EffortOf;
using ::testing::ElementsAre;
using testing::ErrnoOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;
using util::Effort;

constexpr auto kSchema = R"({"__loader__": "ObjectNode", "content": {"__loader__": "DictNode",
  "content": {"coef_": {"__loader__": "NdArrayNode", "file": "1.npy"},
              "steps": {"__loader__": "ListNode", "content": [
                  {"__loader__": "NdArrayNode", "file": "1.npy"},
                  {"__loader__": "NdArrayNode", "file": "arrays/2.npy"}]}}}})";

class NamesTest : public ::testing::Test {
 protected:
  NamesTest() { Write("a.skops", kSchema); }

  void Write(const std::string& name, const std::string& schema,
             uint16_t method = zip::kMethodStored) {
    testing::ArchiveBuilder()
        .Add({.name = "1.npy", .data = "1"})
        .Add({.name = "arrays/2.npy", .data = "22"})
        .Add({.name = "schema.json", .data = schema, .method = method})
        .WriteTo(folder_ / name);
  }
  FileSystem& Start(FileSystem::Options options = {}) {
    kernel_.reset();
    fs_ = std::make_unique<FileSystem>(folder_.path().string(), options);
    kernel_ = std::make_unique<testing::Kernel>(*fs_);
    return *fs_;
  }
  std::string Target(const std::string& path) { return fs_->ReadLink(kernel_->Node(path)); }

  const testing::TempFolder folder_;
  const testing::LogCapture log_;
  std::unique_ptr<FileSystem> fs_;
  std::unique_ptr<testing::Kernel> kernel_;
};

TEST_F(NamesTest, LinksToMembers) {
  Start();
  EXPECT_EQ(Target("a.skops/by-name/coef_.npy"), "../1.npy");
  EXPECT_EQ(Target("a.skops/by-name/steps/0.npy"), "../../1.npy");
  EXPECT_EQ(Target("a.skops/by-name/steps/1.npy"), "../../arrays/2.npy");
  EXPECT_FALSE(kernel_->Find("a.skops/by-name/intercept_.npy"));
  EXPECT_EQ(ErrnoOf([&] { Target("a.skops/by-name"); }), EINVAL);
  EXPECT_EQ(ErrnoOf([&] { Target("a.skops/1.npy"); }), EINVAL);
}

TEST_F(NamesTest, ASchemaBeyondTheLimit) {
  testing::ArchiveBuilder()
      .Add({.name = "schema.json", .hole = (uint64_t{1} << 30) + 1})
      .WriteTo(folder_ / "a.skops");
  Start();
  EXPECT_EQ(ErrnoOf([&] { fs_->OpenDirectory(kernel_->Node("a.skops/by-name")); }), EFBIG);
  EXPECT_THAT(log_.texts(), Contains(HasSubstr("schema.json is larger than the limit of 1 GiB")));
}

TEST_F(NamesTest, AreListedLast) {
  Start();
  EXPECT_THAT(kernel_->Names(kernel_->Node("a.skops")),
              ElementsAre("1.npy", "arrays", "schema.json", "by-name"));
  EXPECT_THAT(kernel_->Names(kernel_->Node("a.skops/by-name")), ElementsAre("coef_.npy", "steps"));
  EXPECT_THAT(kernel_->Names(kernel_->Node("a.skops/by-name/steps")),
              ElementsAre("0.npy", "1.npy"));
  EXPECT_THAT(kernel_->Names(kernel_->Node("a.skops/arrays")), ElementsAre("2.npy"));
}

TEST_F(NamesTest, Attributes) {
  auto& fs = Start();
  const auto folder = kernel_->Find("a.skops/by-name").value().attributes;
  EXPECT_EQ(folder.st_mode, static_cast<mode_t>(S_IFDIR | 0555));
  const auto link = kernel_->Find("a.skops/by-name/steps/1.npy").value();
  EXPECT_EQ(link.attributes.st_mode, static_cast<mode_t>(S_IFLNK | 0777));
  EXPECT_EQ(link.attributes.st_size, 18);
  EXPECT_EQ(fs.GetAttributes(link.node).attributes.st_ino, link.attributes.st_ino);
  EXPECT_EQ(link.entry_timeout, kForever);
}

TEST_F(NamesTest, OfASingleArchive) {
  fs_ = std::make_unique<FileSystem>(folder_ / "a.skops", FileSystem::Options{});
  kernel_ = std::make_unique<testing::Kernel>(*fs_);
  EXPECT_EQ(Target("by-name/coef_.npy"), "../1.npy");
  EXPECT_EQ(kernel_->Find("by-name").value().entry_timeout, 1) << "another version may come";
}

TEST_F(NamesTest, TheSchemaIsReadWhenSomebodyLooks) {
  Write("bad.skops", "no schema");
  Start();
  kernel_->Names(kernel_->Node("bad.skops"));
  const auto by_name = kernel_->Node("bad.skops/by-name");
  EXPECT_THAT(log_.texts(), IsEmpty());
  EXPECT_EQ(ErrnoOf([&] { fs_->Lookup(by_name, "x"); }), EIO);
  EXPECT_EQ(EffortOf([&] { fs_->Lookup(by_name, "x"); }), std::nullopt) << "it is known";
  EXPECT_THAT(log_.texts(), ElementsAre(HasSubstr("\"bad.skops\": by-name cannot be shown: ")));
  EXPECT_EQ(ErrnoOf([&] { fs_->OpenDirectory(by_name); }), EIO);
  EXPECT_EQ(log_.texts().size(), 1U) << "said once";
  EXPECT_THAT(fs_->GetXattr(by_name, "user.skopsfs.error").value(), HasSubstr("not JSON"));
  EXPECT_EQ(kernel_->Find("bad.skops/1.npy").value().attributes.st_size, 1);
}

TEST_F(NamesTest, OfACompressedSchema) {
  Write("deflated.skops", kSchema, zip::kMethodDeflated);
  Start();
  EXPECT_EQ(Target("deflated.skops/by-name/coef_.npy"), "../1.npy");
}

TEST_F(NamesTest, WhereThereIsNoSchema) {
  testing::ArchiveBuilder().Add({.name = "1.npy", .data = "1"}).WriteTo(folder_ / "none.skops");
  testing::ArchiveBuilder()
      .Add({.name = "schema.json/x", .data = "1"})
      .WriteTo(folder_ / "d.skops");
  Start();
  for (const std::string name : {"none.skops", "d.skops"}) {
    EXPECT_FALSE(kernel_->Find(name + "/by-name")) << name;
    EXPECT_THAT(kernel_->Names(kernel_->Node(name)), Not(Contains("by-name"))) << name;
  }
  const NodeId made_up{.slot = kernel_->Node("none.skops").slot, .index = NodeId::kFirstName};
  EXPECT_EQ(ErrnoOf([&] { fs_->GetAttributes(made_up); }), ESTALE);
}

TEST_F(NamesTest, AMemberOfThatNameWins) {
  testing::ArchiveBuilder()
      .Add({.name = "by-name", .data = "mine"})
      .Add({.name = "schema.json", .data = kSchema})
      .WriteTo(folder_ / "own.skops");
  Start();
  EXPECT_EQ(kernel_->Find("own.skops/by-name").value().attributes.st_size, 4);
  EXPECT_THAT(kernel_->Names(kernel_->Node("own.skops")), ElementsAre("by-name", "schema.json"));
}

TEST_F(NamesTest, CanBeLeftOut) {
  Start({.by_name = false});
  EXPECT_FALSE(kernel_->Find("a.skops/by-name"));
  EXPECT_THAT(kernel_->Names(kernel_->Node("a.skops")),
              ElementsAre("1.npy", "arrays", "schema.json"));
}

TEST_F(NamesTest, NodesThatAreNot) {
  Start();
  auto node = kernel_->Node("a.skops/by-name");
  node.index += 1000;
  EXPECT_EQ(ErrnoOf([&] { fs_->GetAttributes(node); }), ESTALE);
  EXPECT_EQ(ErrnoOf([&] { fs_->OpenDirectory(node); }), ESTALE);
  EXPECT_EQ(ErrnoOf([&] { fs_->MemberOf(kernel_->Node("a.skops/by-name/coef_.npy")); }), ESTALE);
  EXPECT_EQ(ErrnoOf([&] { fs_->OpenDirectory(kernel_->Node("a.skops/by-name/coef_.npy")); }),
            ENOTDIR);
}

class NpzTest : public NamesTest {
 protected:
  // An archive with an npz in it, whose members are "data.npy" and "deep/x.npy".
  void WriteNpz(const std::string& name, uint16_t outer, uint16_t inner) {
    testing::ArchiveBuilder npz;
    npz.Add({.name = "data.npy", .data = data_, .method = inner})
        .Add({.name = "deep/x.npy", .data = "x", .method = inner});
    testing::ArchiveBuilder()
        .Add({.name = "before", .data = "some bytes"})
        .Add({.name = "1.npz", .data = npz.Build(), .method = outer})
        .Add({.name = "schema.json", .data = R"({"__loader__": "DictNode",
                         "content": {"X": {"__loader__": "S", "file": "1.npz"}}})"})
        .WriteTo(folder_ / name);
  }

  const std::string data_ = testing::Noise(100'000);
};

TEST_F(NpzTest, HoweverTheyAreCompressed) {
  for (const uint16_t outer : {zip::kMethodStored, zip::kMethodDeflated}) {
    for (const uint16_t inner : {zip::kMethodStored, zip::kMethodDeflated}) {
      WriteNpz("a.skops", outer, inner);
      Start();
      EXPECT_THAT(kernel_->Names(kernel_->Node("a.skops/by-name")), ElementsAre("X", "X.npz"));
      const auto folder = kernel_->Node("a.skops/by-name/X");
      EXPECT_THAT(kernel_->Names(folder), ElementsAre("data.npy", "deep"));
      EXPECT_THAT(kernel_->Names(kernel_->Node("a.skops/by-name/X/deep")), ElementsAre("x.npy"));
      EXPECT_EQ(kernel_->Contents("a.skops/by-name/X/data.npy"), data_);
      EXPECT_EQ(kernel_->Contents("a.skops/by-name/X/deep/x.npy"), "x");
      EXPECT_FALSE(kernel_->Find("a.skops/by-name/X/nothing"));
      const auto node = kernel_->Node("a.skops/by-name/X/data.npy");
      EXPECT_EQ(fs_->GetXattr(node, "user.skopsfs.member"), "1.npz/data.npy");
      EXPECT_EQ(fs_->GetXattr(node, "user.skopsfs.offset").has_value(),
                outer == zip::kMethodStored);
      EXPECT_EQ(fs_->GetXattr(folder, "user.skopsfs.error"), std::nullopt);
    }
  }
  EXPECT_THAT(log_.texts(), IsEmpty());
}

TEST_F(NpzTest, ListingsAgreeWithLookups) {
  WriteNpz("a.skops", zip::kMethodStored, zip::kMethodStored);
  Start();
  for (const std::string path :
       {"a.skops/by-name", "a.skops/by-name/X", "a.skops/by-name/X/deep"}) {
    const auto node = kernel_->Node(path);
    fs_->OpenDirectory(node);
    for (const auto& item : kernel_->List(node, true)) {
      if (item.name == ".") {
        EXPECT_EQ(item.entry.attributes.st_ino, fs_->GetAttributes(node).attributes.st_ino) << path;
      } else if (item.name == "..") {
        const auto parent = kernel_->Node(path.substr(0, path.rfind('/')));
        EXPECT_EQ(item.entry.attributes.st_ino, fs_->GetAttributes(parent).attributes.st_ino)
            << path;
      } else {
        const auto found = kernel_->Find(path + "/" + item.name).value();
        EXPECT_EQ(item.entry.node, found.node) << item.name;
        EXPECT_EQ(item.entry.attributes.st_ino, found.attributes.st_ino) << item.name;
        EXPECT_EQ(fs_->GetAttributes(found.node).attributes.st_ino, found.attributes.st_ino);
      }
    }
  }
}

TEST_F(NpzTest, DamageInside) {
  testing::ArchiveBuilder npz;
  npz.Add({.name = "bad.npy", .data = data_, .local = {.crc32 = 1}, .central = {.crc32 = 1}})
      .Add({.name = "good.npy", .data = "good"});
  for (const uint16_t outer : {zip::kMethodStored, zip::kMethodDeflated}) {
    testing::ArchiveBuilder()
        .Add({.name = "1.npz", .data = npz.Build(), .method = outer})
        .Add({.name = "schema.json", .data = R"({"__loader__": "S", "file": "1.npz"})"})
        .WriteTo(folder_ / "a.skops");
    Start();
    EXPECT_EQ(ErrnoOf([&] { kernel_->Contents("a.skops/by-name/root/bad.npy"); }), EIO);
    EXPECT_THAT(log_.texts(),
                Contains(HasSubstr("member \"1.npz/bad.npy\" cannot be read: bad CRC-32")));
    EXPECT_EQ(kernel_->Contents("a.skops/by-name/root/good.npy"), "good");
    Start({.proves_first = true});
    const auto bad = kernel_->Node("a.skops/by-name/root/bad.npy");
    EXPECT_EQ(ErrnoOf([&] { fs_->MemberOf(bad); }), EIO);
    EXPECT_EQ(kernel_->Contents("a.skops/by-name/root/good.npy"), "good");
  }
}

TEST_F(NpzTest, OneThatIsNone) {
  testing::ArchiveBuilder many;
  for (int i = 0; i < 256; ++i) many.Add({.name = std::to_string(i), .data = "x"});
  for (const auto& [bytes, code] : {std::pair(std::string("no zip"), EIO), {many.Build(), EFBIG}}) {
    testing::ArchiveBuilder()
        .Add({.name = "1.npz", .data = bytes})
        .Add({.name = "schema.json", .data = R"({"__loader__": "S", "file": "1.npz"})"})
        .WriteTo(folder_ / "a.skops");
    Start();
    const auto node = kernel_->Node("a.skops/by-name/root");
    const size_t lines = log_.texts().size();
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(ErrnoOf([&] { fs_->OpenDirectory(node); }), code);
      EXPECT_EQ(ErrnoOf([&] { fs_->Lookup(node, "data.npy"); }), code);
    }
    EXPECT_EQ(EffortOf([&] { fs_->Lookup(node, "data.npy"); }), std::nullopt) << "it is known";
    EXPECT_EQ(log_.texts().size(), lines + 1) << "said once";
    EXPECT_TRUE(fs_->GetXattr(node, "user.skopsfs.error"));
    EXPECT_EQ(kernel_->Find("a.skops/by-name/root.npz").value().attributes.st_mode,
              static_cast<mode_t>(S_IFLNK | 0777));
  }
}

TEST_F(NpzTest, OneThatIsFoundWrongShowsNoArrays) {
  testing::ArchiveBuilder npz;
  npz.Add({.name = "good.npy", .data = data_});
  testing::ArchiveBuilder()
      .Add({.name = "1.npz", .data = npz.Build(), .local = {.crc32 = 1}, .central = {.crc32 = 1}})
      .Add({.name = "schema.json", .data = R"({"__loader__": "S", "file": "1.npz"})"})
      .WriteTo(folder_ / "a.skops");
  Start();
  const auto folder = kernel_->Node("a.skops/by-name/root");
  const auto array = kernel_->Node("a.skops/by-name/root/good.npy");
  EXPECT_EQ(kernel_->Contents("a.skops/by-name/root/good.npy"), data_) << "nobody knows yet";
  EXPECT_EQ(ErrnoOf([&] { kernel_->Contents("a.skops/1.npz"); }), EIO);
  EXPECT_THAT(fs_->TakeWrong(), UnorderedElementsAre(array, kernel_->Node("a.skops/1.npz")))
      << "what was read of it is not to stay in the page cache";
  EXPECT_EQ(ErrnoOf([&] { fs_->MemberOf(array); }), EIO);
  EXPECT_EQ(ErrnoOf([&] { fs_->OpenDirectory(folder); }), EIO);
  EXPECT_EQ(ErrnoOf([&] { fs_->Lookup(folder, "good.npy"); }), EIO);
  for (const auto node : {folder, array}) {
    EXPECT_THAT(fs_->GetXattr(node, "user.skopsfs.error").value_or(""), HasSubstr("bad CRC-32"));
  }
}

TEST_F(NpzTest, AFastThreadMakesNoNamesToReadWith) {
  WriteNpz("a.skops", zip::kMethodStored, zip::kMethodStored);
  Start();
  const auto array = kernel_->Node("a.skops/by-name/X/data.npy");
  const auto read = [&] { EXPECT_EQ(kernel_->Read(fs_->MemberOf(array), 0, data_.size()), data_); };
  EXPECT_EQ(EffortOf(read), std::nullopt);
  const catalog::SlotPeer peer(fs_->catalog().slots().Get(array.slot));
  peer.DropNames();
  EXPECT_EQ(EffortOf(read), std::nullopt) << "it is being read";
  peer.DropReaders();
  EXPECT_EQ(EffortOf(read), Effort::kDecode);
  peer.DropIndex();
  EXPECT_EQ(EffortOf(read), Effort::kOpen);
  read();
  EXPECT_EQ(EffortOf(read), std::nullopt);
  // And of a version that is replaced: it is made again from what is open.
  testing::ReplaceFile(folder_ / "a.skops", testing::ArchiveOf("new"));
  EXPECT_EQ(kernel_->Contents("a.skops/m"), "new");
  peer.DropReaders();
  peer.DropNames();
  peer.DropIndex();
  read();
  EXPECT_THAT(log_.texts(), IsEmpty());
}

TEST_F(NpzTest, NodesThatAreNot) {
  WriteNpz("a.skops", zip::kMethodStored, zip::kMethodStored);
  Start();
  const auto node = kernel_->Node("a.skops/by-name/X/data.npy");
  for (const uint32_t index : {node.index + 100, NodeId::FirstOf(0), NodeId::FirstOf(1) + 1}) {
    EXPECT_EQ(ErrnoOf([&] { fs_->GetAttributes({.slot = node.slot, .index = index}); }), ESTALE);
    EXPECT_EQ(ErrnoOf([&] { fs_->MemberOf({.slot = node.slot, .index = index}); }), EIO);
  }
  EXPECT_EQ(ErrnoOf([&] { fs_->MemberOf(kernel_->Node("a.skops/by-name/X/deep")); }), EISDIR);
}

TEST_F(NamesTest, OfAVersionThatIsReplaced) {
  Start();
  const auto before = kernel_->Node("a.skops/by-name");
  Write("new", R"({"__loader__": "NdArrayNode", "file": "1.npy"})");
  std::filesystem::rename(folder_ / "new", folder_ / "a.skops");
  EXPECT_EQ(Target("a.skops/by-name/root.npy"), "../1.npy");
  EXPECT_EQ(ErrnoOf([&] { fs_->Lookup(before, "coef_.npy"); }), ESTALE);
}

TEST_F(NamesTest, AreForgottenAndReadAgain) {
  catalog::OpenArchives::Budget budget;
  budget.idle_index_bytes = 0;
  Write("b.skops", kSchema);
  Start({.budget = budget});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Target("a.skops/by-name/coef_.npy"), "../1.npy");
    EXPECT_EQ(Target("b.skops/by-name/coef_.npy"), "../1.npy");
  }
}

}  // namespace
}  // namespace skopsfs::fs
