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

  // What the nodes of the old version give after a change.
  enum class Then { kOld, kGone };

  void Expect(Then then, NodeId stored, NodeId deflated) {
    if (then == Then::kOld) {
      EXPECT_TRUE(kernel_.Read(fs_.MemberOf(stored), 0, old_.size()) == old_);
      EXPECT_TRUE(kernel_.Read(fs_.MemberOf(deflated), 0, lines_.size()) == lines_);
      return;
    }
    for (const NodeId node : {stored, deflated}) {
      for (const uint64_t offset : {0, 5000, 90'000}) {
        EXPECT_EQ(ErrnoOf([&] { kernel_.Read(fs_.MemberOf(node), offset, 100); }), EIO) << offset;
      }
    }
  }
  // Reads both members, changes the archive, goes on reading.
  void Change(const std::function<void()>& change, Then then) {
    const NodeId archive = kernel_.Node("a.skops");
    const NodeId stored = kernel_.Node("a.skops/d/stored");
    const NodeId deflated = kernel_.Node("a.skops/top");
    kernel_.Read(fs_.MemberOf(stored), 0, 1);
    kernel_.Read(fs_.MemberOf(deflated), 0, 1000);
    const auto size = fs_.GetAttributes(stored).attributes.st_size;
    testing::WaitForNewTime(path_);
    change();
    Expect(then, stored, deflated);
    kernel_.Find("a.skops");
    Expect(then, stored, deflated);
    EXPECT_EQ(ErrnoOf([&] { fs_.Lookup(archive, "top"); }), ESTALE) << "a name is never old";
    EXPECT_EQ(fs_.GetAttributes(stored).attributes.st_size, size);
    for (int i = 0; i < 3; ++i) fs_.Tidy();
    Expect(then, stored, deflated);
    kernel_.ForgetAll();
    EXPECT_EQ(fs_.catalog().open_archives().open_files(), 0U) << "gone with its descriptor";
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

TEST_F(FileSystemVersions, NodesOutliveARename) {
  Change([&] { testing::ReplaceFile(path_, new_archive_); }, Then::kOld);
  EXPECT_TRUE(kernel_.Contents("a.skops/d/stored") == new_);
}

TEST_F(FileSystemVersions, NodesOutliveUnlink) {
  Change([&] { std::filesystem::remove(path_); }, Then::kOld);
  EXPECT_FALSE(kernel_.Find("a.skops"));
}

TEST_F(FileSystemVersions, NodesOutliveChmod) {
  Change([&] { testing::TouchMode(path_); }, Then::kOld);
  EXPECT_TRUE(kernel_.Contents("a.skops/d/stored") == old_);
}

TEST_F(FileSystemVersions, NodesFailAfterARewrite) {
  Change([&] { testing::Overwrite(path_, 0, new_archive_); }, Then::kGone);
  EXPECT_TRUE(kernel_.Contents("a.skops/d/stored") == new_);
}

TEST_F(FileSystemVersions, NodesFailAfterAnAppend) {
  Change([&] { testing::Overwrite(path_, old_archive_.size(), "x"); }, Then::kGone);
}

TEST_F(FileSystemVersions, NodesFailAfterTruncation) {
  Change([&] { std::filesystem::resize_file(path_, 100); }, Then::kGone);
  EXPECT_EQ(ErrnoOf([&] { kernel_.Find("a.skops/top"); }), EIO);
}

TEST_F(FileSystemVersions, ARewriteThatSetsTheTimeBackIsSeen) {
  const auto member = fs_.MemberOf(kernel_.Node("a.skops/d/stored"));
  testing::OverwriteKeepingTime(path_, 0, new_archive_);
  EXPECT_EQ(ErrnoOf([&] { kernel_.Read(member, 0, 100); }), EIO);
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
  EXPECT_EQ(ErrnoOf([&] { fs_.MemberOf(before->node); }), 0) << "it is open";
  EXPECT_EQ(ErrnoOf([&] { fs_.Lookup(before_archive->node, "top"); }), ESTALE);
}

TEST_F(FileSystemVersions, AnOldVersionIsNotListedAnew) {
  const NodeId archive = kernel_.Node("a.skops");
  EXPECT_TRUE(fs_.OpenDirectory(archive)) << "its listing never changes";
  testing::ReplaceFile(path_, new_archive_);
  EXPECT_EQ(ErrnoOf([&] { fs_.OpenDirectory(archive); }), ESTALE);
  EXPECT_EQ(kernel_.List(archive).size(), 4U) << "who lists it goes on";
}

// --- versions to be let go of ---

TEST_F(FileSystemVersions, AnyChangeMakesAVersionOld) {
  const std::vector<std::function<void()>> changes = {
      [&] { testing::ReplaceFile(path_, new_archive_); },
      [&] { testing::Overwrite(path_, 0, old_archive_); },
      [&] { std::filesystem::remove(path_); },
  };
  for (const auto& change : changes) {
    kernel_.ForgetAll();
    const NodeId top = kernel_.Node("a.skops/top");
    fs_.MemberOf(top);
    fs_.catalog().LookAtOpenFiles();
    EXPECT_THAT(fs_.catalog().slots().Superseded(), IsEmpty()) << "it is the present version";
    testing::WaitForNewTime(path_);
    change();
    fs_.catalog().LookAtOpenFiles();
    const auto old = fs_.catalog().slots().Superseded();
    ASSERT_EQ(old.size(), 1U) << "though nobody has looked the name up";
    EXPECT_EQ(old[0]->id, top.slot);
    kernel_.Find("a.skops");
    EXPECT_THAT(fs_.catalog().slots().Superseded(), ElementsAre(old[0]));
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
  EXPECT_NE(ErrnoOf([&] { single_.MemberOf(kRoot); }), 0);
  EXPECT_FALSE(single_.Lookup(kRoot, "nowhere"));
}

TEST_F(FileSystemOfOneArchive, NamesInTheRootAreLookedAtAgain) {
  EXPECT_EQ(only_.Find("top")->entry_timeout, 3);
  EXPECT_EQ(only_.Find("top")->attribute_timeout, kForever);
  EXPECT_EQ(only_.Find("d/stored")->entry_timeout, kForever);
  EXPECT_EQ(single_.NegativeTimeout(kRoot), 3);
  EXPECT_EQ(single_.NegativeTimeout(only_.Node("d")), kForever);
  EXPECT_EQ(single_.GetAttributes(kRoot).timeout, 3);
  EXPECT_FALSE(single_.OpenDirectory(kRoot)) << "its listing changes";
  for (const auto& item : only_.List(kRoot, true)) {
    if (item.name == "top") {
      EXPECT_EQ(item.entry.entry_timeout, 3);
    }
  }
}

TEST_F(FileSystemOfOneArchive, FollowsReplacements) {
  const auto before = single_.GetAttributes(kRoot).attributes.st_ino;
  const auto member = single_.MemberOf(only_.Node("d/stored"));
  testing::ReplaceFile(path_, new_archive_);
  EXPECT_TRUE(only_.Contents("d/stored") == new_);
  EXPECT_TRUE(only_.Read(member, 0, old_.size()) == old_);
  EXPECT_NE(single_.GetAttributes(kRoot).attributes.st_ino, before);
  only_.ForgetAll();
  EXPECT_EQ(single_.catalog().slots().All().size(), 2U);
}

TEST_F(FileSystemOfOneArchive, DotsOfTheRootAreTheRoot) {
  for (int i = 0; i < 2; ++i) {
    const auto root = single_.GetAttributes(kRoot).attributes.st_ino;
    const auto items = only_.List(kRoot);
    EXPECT_EQ(items[0].entry.attributes.st_ino, root);
    EXPECT_EQ(items[1].entry.attributes.st_ino, root) << (i == 0 ? "" : "after a replacement");
    testing::ReplaceFile(path_, new_archive_);
  }
}

// The kernel knows the root by its own number, not by that of a version.
TEST_F(FileSystemOfOneArchive, AListingOfTheRootIsOfOneVersion) {
  const auto three =
      testing::ArchiveBuilder().Add({.name = "1"}).Add({.name = "2"}).Add({.name = "3"}).Build();
  for (const bool is_known : {true, false}) {
    testing::ReplaceFile(path_, three);
    std::vector<std::string> names;
    uint64_t position = 0;
    const auto read = [&](size_t most) {
      single_.ReadDirectory(kRoot, position, false, [&](const DirectoryEntry& entry) {
        if (names.size() == most) return false;
        names.emplace_back(entry.name);
        position = entry.next;
        return true;
      });
    };
    if (is_known) only_.Node("1");
    read(3);
    EXPECT_LT(position, uint64_t{INT64_MAX}) << "it is an off_t";
    testing::ReplaceFile(path_, new_archive_);
    EXPECT_THAT(only_.Names(kRoot), ElementsAre("d", "top"));
    if (!is_known) {
      only_.ForgetAll();
      read(4);
      for (int i = 0; i < 3; ++i) single_.Tidy();
      EXPECT_EQ(ErrnoOf([&] { read(100); }), ESTALE) << "that version is gone";
      continue;
    }
    read(100);
    EXPECT_THAT(names, ElementsAre(".", "..", "1", "2", "3"));
  }
}

// The kernel asks once more, to learn that there is nothing more.
TEST_F(FileSystemOfOneArchive, AWholeListingNeedsItsVersionNoMore) {
  uint64_t position = 0;
  const auto read = [&] {
    size_t count = 0;
    single_.ReadDirectory(kRoot, position, true, [&](const DirectoryEntry& entry) {
      if (count > 1) single_.Forget(entry.entry.node, 1);
      position = entry.next;
      ++count;
      return true;
    });
    return count;
  };
  EXPECT_EQ(read(), 4U);
  EXPECT_LT(position, uint64_t{INT64_MAX}) << "it is an off_t";
  for (int i = 0; i < 100; ++i) {
    testing::ReplaceFile(path_, new_archive_);
    only_.Names(kRoot);
  }
  for (int i = 0; i < 3; ++i) single_.Tidy();
  EXPECT_EQ(read(), 0U);
}

// Whatever their slots' numbers are: those of versions that are held do not come again.
TEST_F(FileSystemOfOneArchive, TheLatestListingsGoOn) {
  for (int i = 0; i < 100; ++i) {
    for (int held = 0; held < 2 && i % 10 == 0; ++held) {
      testing::ReplaceFile(path_, new_archive_);
      only_.Node("top");
    }
    testing::ReplaceFile(path_, new_archive_);
    uint64_t position = 0;
    const auto read = [&](size_t most) {
      size_t count = 0;
      single_.ReadDirectory(kRoot, position, false, [&](const DirectoryEntry& entry) {
        if (count == most) return false;
        position = entry.next;
        ++count;
        return true;
      });
      return count;
    };
    EXPECT_EQ(read(1), 1U);
    testing::ReplaceFile(path_, new_archive_);
    only_.Names(kRoot);
    EXPECT_EQ(ErrnoOf([&] { EXPECT_EQ(read(100), 3U); }), 0) << i;
  }
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
