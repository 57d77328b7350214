#include "fs/file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/statvfs.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "support/archive_files.h"
#include "support/errors.h"
#include "support/kernel.h"
#include "support/log_capture.h"
#include "support/samples.h"
#include "zip/format.h"

namespace skopsfs::fs {
namespace {

using ::testing::Contains;
using testing::ErrnoOf;
using ::testing::HasSubstr;

constexpr uint16_t kUnknownMethod = 77;

class FileSystemTest : public ::testing::Test {
 protected:
  FileSystemTest() {
    std::filesystem::create_directories(folder_ / "sub/deeper");
    testing::ArchiveBuilder builder;
    builder.Add({.name = "stored", .data = stored_})
        .Add({.name = "dir/deflated", .data = lines_, .method = zip::kMethodDeflated})
        .Add({.name = "empty"})
        .Add({.name = "encrypted", .data = "x", .flags = zip::kFlagEncrypted})
        .Add({.name = "unknown", .data = "x", .method = kUnknownMethod, .compressed = "x"})
        .Add({.name = "bad_header", .data = "x", .local = {.signature = 0}})
        .Add({.name = "bad_crc",
              .data = lines_,
              .method = zip::kMethodDeflated,
              .local = {.crc32 = 1},
              .central = {.crc32 = 1}});
    builder.WriteTo(folder_ / "a.skops");
    testing::WriteFile(folder_ / "sub/b.skops", testing::ArchiveOf("b"));
    testing::WriteFile(folder_ / "bad.skops", "no archive");
    testing::WriteFile(folder_ / "notes.txt", "");
  }

  FileSystem& Start(const FileSystem::Options& options = {}) {
    fs_ = std::make_unique<FileSystem>(folder_.path().string(), options);
    kernel_ = std::make_unique<testing::Kernel>(*fs_);
    return *fs_;
  }
  int ReadErrno(const std::string& path) {
    return ErrnoOf([&] { fs_->MemberOf(kernel_->Node(path)); });
  }

  const std::string stored_ = testing::Noise(100'000);
  const std::string lines_ = testing::SampleLines();
  const testing::TempFolder folder_;
  const testing::LogCapture log_;
  std::unique_ptr<FileSystem> fs_;
  std::unique_ptr<testing::Kernel> kernel_;
};

// --- names ---

TEST_F(FileSystemTest, LooksNamesUp) {
  auto& fs = Start({.revalidate = 7});
  const auto archive = kernel_->Find("a.skops");
  ASSERT_TRUE(archive);
  EXPECT_TRUE(S_ISDIR(archive->attributes.st_mode));
  EXPECT_EQ(archive->entry_timeout, 7);
  EXPECT_EQ(archive->attribute_timeout, 7);
  const auto member = kernel_->Find("a.skops/dir/deflated");
  ASSERT_TRUE(member);
  EXPECT_TRUE(S_ISREG(member->attributes.st_mode));
  EXPECT_EQ(static_cast<size_t>(member->attributes.st_size), lines_.size());
  EXPECT_EQ(member->entry_timeout, kForever);
  EXPECT_EQ(member->attribute_timeout, kForever);
  EXPECT_EQ(member->node.slot, archive->node.slot);
  EXPECT_TRUE(kernel_->Find("sub/deeper"));
  EXPECT_TRUE(kernel_->Find("sub/b.skops/m"));
  for (const auto* path :
       {"nowhere", "a.skops/nowhere", "a.skops/dir/nowhere", "sub/m", "a.skops/STORED"}) {
    EXPECT_FALSE(kernel_->Find(path)) << path;
  }
  EXPECT_FALSE(fs.Lookup(kernel_->Node("a.skops/stored"), "x")) << "a member has no children";
}

TEST_F(FileSystemTest, LookupsAreCountedUntilAllAreForgotten) {
  auto& fs = Start();
  const NodeId archive = kernel_->Node("a.skops");
  const NodeId member = kernel_->Node("a.skops/stored");
  EXPECT_EQ(fs.catalog().slots().All().size(), 2U);
  // Two lookups of the archive and one of the member are held.
  fs.Lookup(kRoot, "a.skops");
  fs.Forget(archive, 3);
  EXPECT_EQ(fs.catalog().slots().All().size(), 2U);
  EXPECT_EQ(ErrnoOf([&] { fs.GetAttributes(member); }), 0);
  fs.Forget(member, 1);
  EXPECT_EQ(fs.catalog().slots().All().size(), 1U);
  EXPECT_EQ(ErrnoOf([&] { fs.GetAttributes(member); }), ESTALE);
  EXPECT_EQ(ErrnoOf([&] { fs.GetAttributes(archive); }), ESTALE);
}

TEST_F(FileSystemTest, EverythingForgottenLeavesTheRoot) {
  auto& fs = Start();
  for (int i = 0; i < 3; ++i) {
    for (const auto* path : {"a.skops/dir/deflated", "sub/b.skops/m", "sub/deeper", "nowhere",
                             "a.skops/nowhere", "bad.skops"}) {
      kernel_->Find(path);
    }
    EXPECT_GT(fs.catalog().slots().All().size(), 4U);
    kernel_->ForgetAll();
    EXPECT_EQ(fs.catalog().slots().All().size(), 1U);
    EXPECT_EQ(fs.catalog().open_archives().open_files(), 0U);
  }
}

TEST_F(FileSystemTest, TimesForNamesThatAreNotThere) {
  auto& fs = Start({.revalidate = 3});
  EXPECT_EQ(fs.NegativeTimeout(kRoot), 3);
  EXPECT_EQ(fs.NegativeTimeout(kernel_->Node("sub")), 3);
  EXPECT_EQ(fs.NegativeTimeout(kernel_->Node("a.skops")), kForever);
  EXPECT_EQ(fs.NegativeTimeout(kernel_->Node("a.skops/dir")), kForever);
}

// --- attributes ---

TEST_F(FileSystemTest, AttributesAreThoseOfTheLookup) {
  auto& fs = Start({.revalidate = 7});
  for (const auto* path : {"a.skops", "a.skops/stored", "a.skops/dir", "sub", "sub/b.skops/m"}) {
    const auto entry = kernel_->Find(path);
    const auto attributes = fs.GetAttributes(entry->node);
    EXPECT_EQ(attributes.attributes.st_ino, entry->attributes.st_ino) << path;
    EXPECT_EQ(attributes.attributes.st_mode, entry->attributes.st_mode) << path;
    EXPECT_EQ(attributes.attributes.st_size, entry->attributes.st_size) << path;
    EXPECT_EQ(attributes.timeout, entry->attribute_timeout) << path;
  }
  EXPECT_TRUE(S_ISDIR(fs.GetAttributes(kRoot).attributes.st_mode));
  EXPECT_EQ(fs.GetAttributes(kRoot).timeout, 7);
}

TEST_F(FileSystemTest, FoldersFollowTheSource) {
  auto& fs = Start();
  const NodeId sub = kernel_->Node("sub");
  for (const mode_t mode : {0700U, 0755U}) {
    std::filesystem::permissions(folder_ / "sub", std::filesystem::perms(mode));
    std::filesystem::permissions(folder_.path(), std::filesystem::perms(mode));
    EXPECT_EQ(fs.GetAttributes(sub).attributes.st_mode & 0777, mode);
    EXPECT_EQ(fs.GetAttributes(kRoot).attributes.st_mode & 0777, mode);
  }
}

TEST_F(FileSystemTest, InodeNumbersAreTheSameOnEveryMount) {
  Start();
  FileSystem other(folder_.path().string(), {});
  testing::Kernel others(other);
  others.Find("sub/deeper");  // other slots, the same numbers
  for (const auto* path : {"a.skops", "a.skops/stored", "a.skops/dir", "sub", "sub/b.skops/m"}) {
    EXPECT_EQ(kernel_->Find(path)->attributes.st_ino, others.Find(path)->attributes.st_ino) << path;
  }
}

TEST_F(FileSystemTest, NodesThatNeverWere) {
  auto& fs = Start();
  const NodeId archive = kernel_->Node("a.skops");
  const std::vector<NodeId> nodes = {{.slot = 4711, .index = 0},
                                     {.slot = 4711, .index = 5},
                                     {.slot = archive.slot, .index = 1000},
                                     {.slot = archive.slot, .index = (1U << 24) - 1}};
  for (const NodeId node : nodes) {
    EXPECT_EQ(ErrnoOf([&] { fs.GetAttributes(node); }), ESTALE);
    // The kernel does not look the name up again when a read fails.
    EXPECT_EQ(ErrnoOf([&] { fs.MemberOf(node); }), node.slot == archive.slot ? EIO : ESTALE);
    EXPECT_EQ(ErrnoOf([&] { fs.OpenDirectory(node); }), ESTALE);
    EXPECT_EQ(ErrnoOf([&] { fs.Lookup(node, "x"); }), ESTALE);
    fs.Forget(node, 0);
  }
}

// --- files ---

TEST_F(FileSystemTest, ReadsMembers) {
  auto& fs = Start();
  for (const auto& [path, data] :
       {std::pair("a.skops/stored", stored_), std::pair("a.skops/dir/deflated", lines_),
        std::pair("a.skops/empty", std::string())}) {
    EXPECT_TRUE(kernel_->Contents(path) == data) << path;
    const auto node = kernel_->Node(path);
    const auto member = fs.MemberOf(node);
    EXPECT_EQ(member.node, node);
    EXPECT_EQ(fs.GetAttributes(node).attributes.st_ino, kernel_->Find(path)->attributes.st_ino);
    EXPECT_EQ(kernel_->Read(member, data.size(), 10), "");
    if (data.empty()) continue;
    EXPECT_EQ(kernel_->Read(member, 50'000, 1000), data.substr(50'000, 1000));
    EXPECT_EQ(kernel_->Read(member, data.size() - 3, 1000), data.substr(data.size() - 3));
    EXPECT_EQ(kernel_->Read(member, 10, 0), "");
  }
  EXPECT_EQ(log_.texts().size(), 2U) << "of the two without read bits";
}

TEST_F(FileSystemTest, WhatCannotBeRead) {
  Start();
  EXPECT_EQ(ErrnoOf([&] { fs_->MemberOf(kRoot); }), ESTALE);
  EXPECT_EQ(ReadErrno("sub"), ESTALE);
  EXPECT_EQ(ReadErrno("a.skops"), EISDIR);
  EXPECT_EQ(ReadErrno("a.skops/dir"), EISDIR);
  EXPECT_EQ(log_.texts().size(), 2U) << "of the two without read bits";
  EXPECT_EQ(ReadErrno("a.skops/encrypted"), EACCES);
  EXPECT_EQ(ReadErrno("a.skops/unknown"), EOPNOTSUPP);
  EXPECT_EQ(ReadErrno("a.skops/bad_header"), EIO);
  for (const auto* member : {"encrypted", "unknown", "bad_header"}) {
    EXPECT_THAT(log_.texts(), Contains(HasSubstr("\"a.skops\": member \"" + std::string(member) +
                                                 "\" cannot be read: ")));
  }
  EXPECT_TRUE(kernel_->Contents("a.skops/stored") == stored_) << "the others work";
}

TEST_F(FileSystemTest, BadChecksumFailsAtTheEnd) {
  auto& fs = Start();
  const auto member = fs.MemberOf(kernel_->Node("a.skops/bad_crc"));
  EXPECT_EQ(kernel_->Read(member, 0, 100), lines_.substr(0, 100));
  EXPECT_EQ(ErrnoOf([&] { kernel_->Read(member, lines_.size() - 10, 10); }), EIO);
  EXPECT_THAT(log_.texts(), Contains(HasSubstr("member \"bad_crc\" cannot be read: ")));
}

TEST_F(FileSystemTest, AnArchiveThatCannotBeOpened) {
  auto& fs = Start();
  const auto entry = kernel_->Find("bad.skops");
  ASSERT_TRUE(entry) << "it is there, as a directory";
  EXPECT_TRUE(S_ISDIR(entry->attributes.st_mode));
  EXPECT_EQ(ErrnoOf([&] { fs.GetAttributes(entry->node); }), 0);
  EXPECT_EQ(ErrnoOf([&] { fs.OpenDirectory(entry->node); }), EIO);
  EXPECT_EQ(ErrnoOf([&] { fs.Lookup(entry->node, "x"); }), EIO);
  EXPECT_EQ(ErrnoOf([&] { fs.MemberOf(entry->node); }), EIO);
  testing::WriteFile(folder_ / "bad.skops", testing::ArchiveOf("healed"));
  EXPECT_EQ(kernel_->Contents("bad.skops/m"), "healed");
}

// --- descriptors ---

TEST_F(FileSystemTest, WhatWasReadHoldsItsArchiveUntilItIsForgotten) {
  for (const auto* name : {"1", "2", "3", "4"}) {
    testing::WriteFile(folder_ / (std::string(name) + ".skops"), testing::ArchiveOf(name));
  }
  auto& fs = Start({.budget = {.descriptors = 2}});
  // Nobody lets go of anything, and says so.
  const std::jthread housekeeper([&](const std::stop_token& stop) {
    auto& open = fs.catalog().open_archives();
    while (!stop.stop_requested()) {
      if (open.WaitForShortage(stop, std::chrono::milliseconds(10))) open.NoRoomIsLeft();
    }
  });
  EXPECT_EQ(kernel_->Contents("1.skops/m"), "1");
  for (const auto* name : {"2", "3", "4", "2"}) {
    EXPECT_TRUE(kernel_->Find(std::string(name) + ".skops/m")) << "closed by need";
    EXPECT_LE(fs.catalog().open_archives().open_files(), 2U);
  }
  testing::Kernel other(fs);
  EXPECT_EQ(other.Contents("2.skops/m"), "2");
  const NodeId second = other.Node("2.skops/m");
  const NodeId third = other.Node("3.skops");
  EXPECT_EQ(ErrnoOf([&] { fs.Lookup(third, "m"); }), ENFILE);
  for (int i = 0; i < 4; ++i) fs.Tidy();
  EXPECT_EQ(fs.catalog().open_archives().open_files(), 2U) << "both may be mapped";
  kernel_->ForgetAll();
  EXPECT_EQ(other.Contents("3.skops/m"), "3");
  EXPECT_EQ(other.Read(fs.MemberOf(second), 0, 10), "2");
  other.ForgetAll();
  EXPECT_EQ(fs.catalog().open_archives().open_files(), 0U);
}

TEST_F(FileSystemTest, OpenDirectoriesHoldNoDescriptor) {
  auto& fs = Start({.budget = {.descriptors = 1}});
  const auto first = kernel_->Node("a.skops");
  const auto second = kernel_->Node("sub/b.skops");
  fs.OpenDirectory(first);
  fs.OpenDirectory(second);
  EXPECT_EQ(kernel_->List(first).size(), 2U + 7);
  EXPECT_EQ(kernel_->List(second).size(), 2U + 1);
}

// --- the whole ---

TEST_F(FileSystemTest, StatFsIsTheSourcesAndFull) {
  auto& fs = Start();
  struct statvfs source;
  ASSERT_EQ(statvfs(folder_.path().c_str(), &source), 0);
  const auto st = fs.StatFs();
  EXPECT_EQ(st.f_bsize, source.f_bsize);
  EXPECT_EQ(st.f_blocks, source.f_blocks);
  EXPECT_EQ(st.f_bfree, 0U);
  EXPECT_EQ(st.f_bavail, 0U);
  EXPECT_EQ(st.f_ffree, 0U);
  EXPECT_EQ(st.f_favail, 0U);
  EXPECT_EQ(st.f_namemax, 255U);
}

TEST_F(FileSystemTest, NoSuchSource) {
  EXPECT_EQ(ErrnoOf([&] { FileSystem(folder_ / "nowhere", {}); }), ENOENT);
  EXPECT_EQ(ErrnoOf([&] { FileSystem(std::string("/dev/null"), {}); }), ENOTDIR);
}

}  // namespace
}  // namespace skopsfs::fs
