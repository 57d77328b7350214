// Reads by node alone: what they refuse, what they remember, what they do not do on a fast thread.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "fs/file_system.h"
#include "support/archive_files.h"
#include "support/effort.h"
#include "support/errors.h"
#include "support/file_changes.h"
#include "support/kernel.h"
#include "support/log_capture.h"
#include "support/samples.h"
#include "support/slot_peer.h"
#include "util/unique_fd.h"
#include "zip/format.h"

namespace skopsfs::fs {
namespace {

using testing::EffortOf;
using ::testing::ElementsAre;
using testing::ErrnoOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using util::Effort;

constexpr uint16_t kNoMethod = 77;

class ReadsTest : public ::testing::Test {
 protected:
  ReadsTest() {
    testing::ArchiveBuilder()
        .Add({.name = "stored", .data = data_})
        .Add({.name = "d/deflated", .data = lines_, .method = zip::kMethodDeflated})
        .Add({.name = "wrong", .data = data_, .local = {.crc32 = 1}, .central = {.crc32 = 1}})
        .Add({.name = "bad_header", .data = "x", .local = {.signature = 0}})
        .WriteTo(path_);
    Start();
  }

  void Start(const FileSystem::Options& options = {}) {
    kernel_.reset();
    fs_ = std::make_unique<FileSystem>(folder_.path().string(), options);
    kernel_ = std::make_unique<testing::Kernel>(*fs_);
  }
  std::string Read(NodeId node, uint64_t offset = 0, size_t size = size_t{4} << 20) {
    return kernel_->Read(fs_->MemberOf(node), offset, size);
  }
  int ReadErrno(NodeId node) {
    return ErrnoOf([&] { Read(node); });
  }
  std::shared_ptr<catalog::Slot> SlotOf(NodeId node) {
    return fs_->catalog().slots().Get(node.slot);
  }
  // As by need, when nothing was read of it.
  void CloseFile(NodeId node) {
    const catalog::SlotPeer peer(SlotOf(node));
    ASSERT_FALSE(peer.was_read());
    peer.DropFile();
  }
  // As when memory is short.
  void ForgetIndex(NodeId node) {
    const catalog::SlotPeer peer(SlotOf(node));
    peer.DropReaders();
    peer.DropIndex();
  }

  const std::string data_ = testing::Noise(100'000);
  const std::string lines_ = testing::SampleLines();
  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "a.skops";
  const testing::LogCapture log_;
  std::unique_ptr<FileSystem> fs_;
  std::unique_ptr<testing::Kernel> kernel_;
};

// --- what the central directory says ---

TEST_F(ReadsTest, WhatCannotBeReadHasNoReadBits) {
  testing::ArchiveBuilder()
      .Add({.name = "good", .data = "x"})
      .Add({.name = "empty"})
      .Add({.name = "encrypted", .data = "x", .flags = zip::kFlagEncrypted})
      .Add({.name = "unknown", .data = "x", .method = kNoMethod, .compressed = "x"})
      .Add({.name = "two_sizes", .data = "xxx", .central = {.size = 2}})
      .Add({.name = "too_large",
            .data = "x",
            .method = zip::kMethodDeflated,
            .central = {.size = uint32_t{1} << 30}})
      .Add({.name = "empty_with_crc", .central = {.crc32 = 1}})
      .WriteTo(folder_ / "bad.skops");
  const auto mode_of = [&](const std::string& name) {
    return kernel_->Find("bad.skops/" + name).value().attributes.st_mode;
  };
  for (const auto* name : {"good", "empty"}) {
    EXPECT_EQ(mode_of(name) & 0444U, 0444U) << name;
    EXPECT_EQ(ReadErrno(kernel_->Node(std::string("bad.skops/") + name)), 0) << name;
  }
  EXPECT_EQ(log_.texts().size(), 5U) << "each is told once";
  for (const auto& [name, code] : {std::pair("encrypted", EACCES), std::pair("unknown", EOPNOTSUPP),
                                   std::pair("two_sizes", EIO), std::pair("too_large", EIO),
                                   std::pair("empty_with_crc", EIO)}) {
    const NodeId node = kernel_->Node(std::string("bad.skops/") + name);
    EXPECT_EQ(mode_of(name), static_cast<mode_t>(S_IFREG)) << name;
    EXPECT_EQ(fs_->GetAttributes(node).attributes.st_mode, static_cast<mode_t>(S_IFREG)) << name;
    EXPECT_EQ(ReadErrno(node), code) << name << ", which root may try";
    EXPECT_TRUE(fs_->GetXattr(node, "user.skopsfs.error")) << name;
  }
  const size_t lines = log_.texts().size();
  ForgetIndex(kernel_->Node("bad.skops"));
  EXPECT_EQ(mode_of("encrypted"), static_cast<mode_t>(S_IFREG));
  EXPECT_EQ(log_.texts().size(), lines) << "not each time that the index is read again";
}

// --- versions ---

TEST_F(ReadsTest, AReplacedVersionWhoseFileIsOpenReadsOn) {
  const NodeId stored = kernel_->Node("a.skops/stored");
  const NodeId deflated = kernel_->Node("a.skops/d/deflated");
  Read(stored, 0, 1);
  testing::ReplaceFile(path_, testing::ArchiveOf("new"));
  EXPECT_EQ(kernel_->Contents("a.skops/m"), "new");
  for (int i = 0; i < 3; ++i) fs_->Tidy();
  ForgetIndex(stored);
  EXPECT_TRUE(Read(stored) == data_);
  EXPECT_TRUE(Read(deflated) == lines_) << "also what nobody has read before";
  EXPECT_THAT(log_.texts(), IsEmpty());
}

TEST_F(ReadsTest, AVersionThatWasReplacedBeforeItsFileWasRead) {
  for (const bool is_replaced : {true, false}) {
    Start();
    testing::WriteFile(path_, testing::ArchiveOf("old"));
    const NodeId node = kernel_->Node("a.skops/m");
    CloseFile(node);
    const size_t lines = log_.texts().size();
    if (is_replaced) {
      testing::ReplaceFile(path_, testing::ArchiveOf("new"));
    } else {
      std::filesystem::remove(path_);
    }
    for (int i = 0; i < 3; ++i) EXPECT_EQ(ReadErrno(node), EIO);
    const auto reason = fs_->GetXattr(node, "user.skopsfs.error").value_or("");
    EXPECT_EQ(reason, "replaced or removed before it was read");
    const auto texts = log_.texts();
    EXPECT_THAT(std::vector(texts.begin() + static_cast<ptrdiff_t>(lines), texts.end()),
                ElementsAre("\"a.skops\": member \"m\" cannot be read: " + reason));
  }
}

// --- failures ---

TEST_F(ReadsTest, AFailureIsToldOnceForEachMemberAndReason) {
  const NodeId bad = kernel_->Node("a.skops/bad_header");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ReadErrno(bad), EIO);
  EXPECT_THAT(log_.texts(), ElementsAre(HasSubstr("member \"bad_header\" cannot be read: bad "
                                                  "signature")));
  const NodeId stored = kernel_->Node("a.skops/stored");
  Read(stored, 0, 1);
  testing::WaitForNewTime(path_);
  testing::Overwrite(path_, 0, "changed");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ReadErrno(stored), EIO);
    EXPECT_EQ(ReadErrno(bad), EIO);
  }
  EXPECT_THAT(log_.texts(),
              ElementsAre(HasSubstr("bad signature"),
                          HasSubstr("member \"stored\" cannot be read: the archive was changed")));
}

TEST_F(ReadsTest, WhatIsFoundWrongIsRefusedFromThenOn) {
  const NodeId wrong = kernel_->Node("a.skops/wrong");
  const auto member = fs_->MemberOf(wrong);
  EXPECT_TRUE(kernel_->Read(member, 0, 1000) == data_.substr(0, 1000)) << "nobody knows yet";
  EXPECT_THAT(fs_->TakeWrong(), IsEmpty());
  EXPECT_EQ(ErrnoOf([&] { kernel_->Read(member, 1000, data_.size()); }), EIO);
  EXPECT_THAT(fs_->TakeWrong(), ElementsAre(wrong));
  EXPECT_THAT(fs_->TakeWrong(), IsEmpty()) << "they were taken";
  ForgetIndex(wrong);
  const auto read = fs_->counters().source_bytes.load();
  EXPECT_EQ(EffortOf([&] { EXPECT_EQ(ReadErrno(wrong), EIO); }), std::nullopt);
  EXPECT_EQ(ErrnoOf([&] { kernel_->Read(member, 0, 1); }), EIO) << "also by who had it";
  EXPECT_EQ(fs_->counters().source_bytes.load(), read) << "nothing is read for that";
  EXPECT_THAT(log_.texts(), ElementsAre(HasSubstr("member \"wrong\" cannot be read: bad CRC-32")));
  EXPECT_EQ(fs_->GetXattr(wrong, "user.skopsfs.error"), "bad CRC-32");
}

TEST_F(ReadsTest, NoByteOfAMemberBeforeAllAreProven) {
  Start({.proves_first = true});
  const NodeId wrong = kernel_->Node("a.skops/wrong");
  EXPECT_EQ(ErrnoOf([&] { Read(wrong, 0, 1); }), EIO);
  EXPECT_THAT(fs_->TakeWrong(), ElementsAre(wrong));
  const auto read = fs_->counters().source_bytes.load();
  EXPECT_EQ(ErrnoOf([&] { Read(wrong, 0, 1); }), EIO);
  EXPECT_EQ(fs_->counters().source_bytes.load(), read);
  EXPECT_EQ(log_.texts().size(), 1U);
  EXPECT_TRUE(Read(kernel_->Node("a.skops/stored")) == data_);
  EXPECT_TRUE(Read(kernel_->Node("a.skops/d/deflated")) == lines_);
}

// --- bounds ---

TEST_F(ReadsTest, VeryManyMembersOfOneArchive) {
  constexpr size_t kMany = 5000;  // more than are remembered
  testing::ArchiveBuilder builder;
  for (size_t i = 0; i < kMany; ++i) {
    builder.Add({.name = std::to_string(i), .data = std::to_string(i)});
  }
  builder.WriteTo(folder_ / "many.skops");
  const auto first = fs_->MemberOf(kernel_->Node("many.skops/0"));
  for (size_t i = 0; i < kMany; ++i) {
    EXPECT_EQ(Read(kernel_->Node("many.skops/" + std::to_string(i)), 0, 10), std::to_string(i));
    ASSERT_LE(catalog::SlotPeer(SlotOf(first.node)).readers(), 4096U);
  }
  EXPECT_EQ(kernel_->Read(first, 0, 10), "0") << "who has one reads on";
  EXPECT_EQ(Read(first.node), "0");
  EXPECT_EQ(fs_->catalog().open_archives().open_files(), 1U);
}

// --- efforts ---

TEST_F(ReadsTest, AFastThreadReadsNoIndexDecodesNothingAndProvesNothing) {
  const NodeId stored = kernel_->Node("a.skops/stored");
  const NodeId deflated = kernel_->Node("a.skops/d/deflated");
  EXPECT_EQ(EffortOf([&] { Read(stored); }), std::nullopt) << "the first read, too";
  EXPECT_EQ(EffortOf([&] { Read(deflated); }), Effort::kDecode);
  ForgetIndex(stored);
  EXPECT_EQ(EffortOf([&] { Read(stored); }), Effort::kOpen);
  EXPECT_EQ(EffortOf([&] { Read(deflated); }), Effort::kOpen);
  Read(stored, 0, 1);
  EXPECT_EQ(EffortOf([&] { Read(stored); }), std::nullopt);
  testing::WaitForNewTime(path_);
  testing::TouchMode(path_);
  EXPECT_EQ(EffortOf([&] { Read(stored); }), Effort::kDecode) << "it is to be proven again";
  EXPECT_TRUE(Read(stored) == data_);
  EXPECT_EQ(EffortOf([&] { Read(stored); }), std::nullopt);
  Start({.proves_first = true});
  const NodeId proven = kernel_->Node("a.skops/stored");
  EXPECT_EQ(EffortOf([&] { Read(proven); }), Effort::kDecode);
  EXPECT_TRUE(Read(proven) == data_);
  EXPECT_EQ(EffortOf([&] { Read(proven); }), std::nullopt);
  EXPECT_THAT(log_.texts(), IsEmpty()) << "too much of an effort is no failure";
}

// --- a source that goes away ---

TEST_F(ReadsTest, WhatIsDeadIsLetGoOfAndOpenedAgain) {
  const NodeId stored = kernel_->Node("a.skops/stored");
  Read(stored, 0, 1);
  const auto slot = SlotOf(stored);
  auto& catalog = fs_->catalog();
  const auto file = slot->file();
  catalog.LetGoOfDead(*slot, *file, ETIMEDOUT);
  EXPECT_EQ(slot->file(), file) << "that may pass";
  EXPECT_GT(catalog::SlotPeer(slot).readers(), 0U);
  catalog.LetGoOfDead(*slot, *file, ENOTCONN);
  EXPECT_EQ(slot->file(), nullptr);
  EXPECT_EQ(catalog::SlotPeer(slot).readers(), 0U);
  EXPECT_FALSE(catalog::SlotPeer(slot).was_read());
  EXPECT_TRUE(Read(stored) == data_) << "it is back";
  EXPECT_NE(slot->file(), file);
  catalog.LetGoOfDead(*slot, *file, ENOTCONN);
  EXPECT_NE(slot->file(), nullptr) << "another one is not let go of for that";
}

}  // namespace
}  // namespace skopsfs::fs
