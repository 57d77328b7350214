// The filesystem while archives change: open files, names to be dropped, one archive as the source.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "fs/file_system.h"
#include "support/archive_files.h"
#include "support/errors.h"
#include "support/file_changes.h"
#include "support/kernel.h"
#include "support/log_capture.h"
#include "support/samples.h"

namespace skopsfs::fs {
namespace {

using ::testing::ElementsAre;
using testing::ErrnoOf;
using ::testing::IsEmpty;

std::string Archive(const std::string& stored, const std::string& deflated) {
  return testing::ArchiveBuilder()
      .Add({.name = "d/stored", .data = stored})
      .Add({.name = "top", .data = deflated, .method = zip::kMethodDeflated})
      .Build();
}

class FileSystemVersions : public ::testing::Test {
 protected:
  FileSystemVersions() { testing::WriteFile(path_, old_archive_); }

  // What handles of the old version give after a change.
  enum class Then { kOld, kGone };

  void ExpectOld(FileHandle& stored, FileHandle& deflated) {
    EXPECT_TRUE(kernel_.Read(stored, 0, old_.size()) == old_);
    EXPECT_TRUE(kernel_.Read(deflated, 0, lines_.size()) == lines_);
  }
  void ExpectGone(FileHandle& stored, FileHandle& deflated) {
    for (auto* handle : {&stored, &deflated}) {
      for (const uint64_t offset : {0, 5000, 90'000}) {
        EXPECT_EQ(ErrnoOf([&] { kernel_.Read(*handle, offset, 100); }), EIO) << offset;
      }
    }
  }
  // Opens both members, changes the archive, looks at the handles.
  void Change(const std::function<void()>& change, Then then) {
    const auto expect = [&](FileHandle& stored, FileHandle& deflated) {
      then == Then::kOld ? ExpectOld(stored, deflated) : ExpectGone(stored, deflated);
    };
    const NodeId node = kernel_.Node("a.skops/top");
    auto stored = fs_.Open(kernel_.Node("a.skops/d/stored"));
    auto deflated = fs_.Open(node);
    const auto attributes = stored->attributes;
    kernel_.Read(*deflated, 0, 1000);
    testing::WaitForNewTime(path_);
    change();
    expect(*stored, *deflated);
    kernel_.Find("a.skops");
    expect(*stored, *deflated);
    EXPECT_EQ(ErrnoOf([&] { fs_.Open(node); }), ESTALE) << "what is opened is never old";
    EXPECT_EQ(stored->attributes.st_size, attributes.st_size);
    stored.reset();
    deflated.reset();
    for (int i = 0; i < 3; ++i) fs_.Tidy();
    EXPECT_EQ(fs_.catalog().open_files(), 0U) << "gone with its descriptor";
  }

  const std::string old_ = testing::Noise(100'000, 1);
  const std::string new_ = testing::Noise(100'000, 2);
  const std::string lines_ = testing::SampleLines();
  const std::string old_archive_ = Archive(old_, lines_);
  const std::string new_archive_ = Archive(new_, lines_);
  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "a.skops";
  const testing::LogCapture log_;
  FileSystem fs_{folder_.path().string(), {}};
  testing::Kernel kernel_{fs_};
};

TEST_F(FileSystemVersions, OpenFilesOutliveARename) {
  Change([&] { testing::ReplaceFile(path_, new_archive_); }, Then::kOld);
  EXPECT_TRUE(kernel_.Contents("a.skops/d/stored") == new_);
}

TEST_F(FileSystemVersions, OpenFilesOutliveUnlink) {
  Change([&] { std::filesystem::remove(path_); }, Then::kOld);
  EXPECT_FALSE(kernel_.Find("a.skops"));
}

TEST_F(FileSystemVersions, OpenFilesOutliveChmod) {
  Change([&] { testing::TouchMode(path_); }, Then::kOld);
  EXPECT_TRUE(kernel_.Contents("a.skops/d/stored") == old_);
}

TEST_F(FileSystemVersions, OpenFilesFailAfterARewrite) {
  Change([&] { testing::Overwrite(path_, 0, new_archive_); }, Then::kGone);
  EXPECT_TRUE(kernel_.Contents("a.skops/d/stored") == new_);
}

TEST_F(FileSystemVersions, OpenFilesFailAfterAnAppend) {
  Change([&] { testing::Overwrite(path_, old_archive_.size(), "x"); }, Then::kGone);
}

TEST_F(FileSystemVersions, OpenFilesFailAfterTruncation) {
  Change([&] { std::filesystem::resize_file(path_, 100); }, Then::kGone);
  EXPECT_EQ(ErrnoOf([&] { kernel_.Find("a.skops/top"); }), EIO);
}

TEST_F(FileSystemVersions, ARewriteThatSetsTheTimeBackIsSeen) {
  auto handle = fs_.Open(kernel_.Node("a.skops/d/stored"));
  testing::OverwriteKeepingTime(path_, 0, new_archive_);
  EXPECT_EQ(ErrnoOf([&] { kernel_.Read(*handle, 0, 100); }), EIO);
  EXPECT_TRUE(kernel_.Contents("a.skops/d/stored") == new_);
}

TEST_F(FileSystemVersions, EachVersionHasItsOwnNodesAndInodes) {
  const auto before = kernel_.Find("a.skops/d/stored");
  const auto before_archive = kernel_.Find("a.skops");
  testing::ReplaceFile(path_, old_archive_);  // even with the same bytes
  const auto after = kernel_.Find("a.skops/d/stored");
  EXPECT_NE(after->node, before->node);
  EXPECT_NE(after->attributes.st_ino, before->attributes.st_ino);
  EXPECT_NE(kernel_.Find("a.skops")->attributes.st_ino, before_archive->attributes.st_ino);
  EXPECT_EQ(ErrnoOf([&] { fs_.Open(before->node); }), ESTALE);
  EXPECT_EQ(ErrnoOf([&] { fs_.Lookup(before_archive->node, "top"); }), ESTALE);
  EXPECT_EQ(ErrnoOf([&] { fs_.OpenDirectory(before_archive->node); }), ESTALE);
}

// --- names to be dropped ---

TEST_F(FileSystemVersions, NamesOfOldVersionsAreStale) {
  const NodeId directory = kernel_.Node("a.skops/d");
  const NodeId stored = kernel_.Node("a.skops/d/stored");
  const auto first = fs_.Open(stored);
  const NodeId top = kernel_.Node("a.skops/top");
  const auto second = fs_.Open(top);
  EXPECT_FALSE(fs_.catalog().IsOld(stored.slot)) << "it is the present version";
  testing::ReplaceFile(path_, new_archive_);
  EXPECT_TRUE(fs_.catalog().IsOld(stored.slot)) << "though nobody has looked";
  kernel_.Find("a.skops");
  EXPECT_TRUE(fs_.catalog().IsOld(stored.slot));
  const auto stale = fs_.NameOfClosed(stored, first.get());
  EXPECT_EQ(stale.node, stored);
  EXPECT_EQ(stale.parent, directory);
  EXPECT_EQ(stale.name, "stored");
  const auto other = fs_.NameOfClosed(top, second.get());
  EXPECT_EQ(other.parent, (NodeId{.slot = directory.slot, .index = 0}));
  EXPECT_EQ(other.name, "top");
  const auto unknown = fs_.NameOfClosed(top, nullptr);  // which a predecessor had open
  EXPECT_EQ(unknown.node, top);
  EXPECT_EQ(unknown.name, "");
}

TEST_F(FileSystemVersions, AnyChangeMakesANameStale) {
  const std::vector<std::function<void()>> changes = {
      [&] { testing::ReplaceFile(path_, new_archive_); },
      [&] { testing::Overwrite(path_, 0, old_archive_); },
      [&] { std::filesystem::remove(path_); },
  };
  for (const auto& change : changes) {
    const NodeId top = kernel_.Node("a.skops/top");
    const auto handle = fs_.Open(top);
    testing::WaitForNewTime(path_);
    change();
    EXPECT_TRUE(fs_.catalog().IsOld(top.slot)) << "though nobody has looked";
    kernel_.Find("a.skops");
    EXPECT_TRUE(fs_.catalog().IsOld(top.slot));
  }
}

// --- one archive as the source ---

class FileSystemOfOneArchive : public FileSystemVersions {
 protected:
  FileSystem single_{path_, {.revalidate = 3}};
  testing::Kernel only_{single_};
};

TEST_F(FileSystemOfOneArchive, ItsMembersAreTheRoot) {
  EXPECT_THAT(only_.Names(kRoot), ElementsAre("d", "top"));
  EXPECT_TRUE(only_.Contents("d/stored") == old_);
  EXPECT_TRUE(S_ISDIR(single_.GetAttributes(kRoot).attributes.st_mode));
  EXPECT_EQ(ErrnoOf([&] { single_.Open(kRoot); }), EISDIR);
  EXPECT_FALSE(single_.Lookup(kRoot, "nowhere"));
}

TEST_F(FileSystemOfOneArchive, NamesInTheRootAreLookedAtAgain) {
  EXPECT_EQ(only_.Find("top")->entry_timeout, 3);
  EXPECT_EQ(only_.Find("top")->attribute_timeout, kForever);
  EXPECT_EQ(only_.Find("d/stored")->entry_timeout, kForever);
  EXPECT_EQ(single_.NegativeTimeout(kRoot), 3);
  EXPECT_EQ(single_.NegativeTimeout(only_.Node("d")), kForever);
  EXPECT_EQ(single_.GetAttributes(kRoot).timeout, 3);
  const auto handle = single_.OpenDirectory(kRoot);
  for (const auto& item : only_.List(*handle, true)) {
    if (item.name == "top") {
      EXPECT_EQ(item.entry.entry_timeout, 3);
    }
  }
}

TEST_F(FileSystemOfOneArchive, FollowsReplacements) {
  const auto before = single_.GetAttributes(kRoot).attributes.st_ino;
  auto handle = single_.Open(only_.Node("d/stored"));
  testing::ReplaceFile(path_, new_archive_);
  EXPECT_TRUE(only_.Contents("d/stored") == new_);
  EXPECT_TRUE(only_.Read(*handle, 0, old_.size()) == old_);
  EXPECT_NE(single_.GetAttributes(kRoot).attributes.st_ino, before);
  handle.reset();
  only_.ForgetAll();
  EXPECT_EQ(single_.catalog().slot_count(), 2U);
}

TEST_F(FileSystemOfOneArchive, DotsOfTheRootAreTheRoot) {
  for (int i = 0; i < 2; ++i) {
    const auto root = single_.GetAttributes(kRoot).attributes.st_ino;
    const auto handle = single_.OpenDirectory(kRoot);
    const auto items = only_.List(*handle);
    EXPECT_EQ(items[0].entry.attributes.st_ino, root);
    EXPECT_EQ(items[1].entry.attributes.st_ino, root) << (i == 0 ? "" : "after a replacement");
    testing::ReplaceFile(path_, new_archive_);
  }
}

// The kernel knows the root by its own number, not by that of a version.
TEST_F(FileSystemOfOneArchive, StaleNamesInTheRoot) {
  const NodeId top = only_.Node("top");
  const auto opened = single_.Open(top);
  const NodeId directory = only_.Node("d");
  const NodeId below = only_.Node("d/stored");
  const auto opened_below = single_.Open(below);
  testing::ReplaceFile(path_, new_archive_);
  single_.GetAttributes(kRoot);
  const std::vector stale = {single_.NameOfClosed(top, opened.get()),
                             single_.NameOfClosed(below, opened_below.get())};
  EXPECT_EQ(stale[0].parent, kRoot);
  EXPECT_EQ(stale[0].name, "top");
  EXPECT_EQ(stale[1].parent, directory);
  EXPECT_EQ(stale[1].name, "stored");
}

TEST_F(FileSystemOfOneArchive, BrokenGoneAndHealed) {
  testing::WriteFile(path_, "broken");
  EXPECT_EQ(ErrnoOf([&] { single_.Lookup(kRoot, "top"); }), EIO);
  EXPECT_EQ(ErrnoOf([&] { single_.OpenDirectory(kRoot); }), EIO);
  EXPECT_EQ(ErrnoOf([&] { single_.GetAttributes(kRoot); }), 0);
  EXPECT_TRUE(single_.GetXattr(kRoot, "user.skopsfs.error"));
  std::filesystem::remove(path_);
  EXPECT_EQ(ErrnoOf([&] { single_.Lookup(kRoot, "top"); }), ENOENT);
  testing::WriteFile(path_, new_archive_);
  EXPECT_TRUE(only_.Contents("d/stored") == new_);
}

}  // namespace
}  // namespace skopsfs::fs
