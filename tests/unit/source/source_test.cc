#include "source/source.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "support/access_list.h"
#include "support/errors.h"
#include "support/log_capture.h"
#include "support/open_archive.h"
#include "support/ordinary_user.h"
#include "support/temp_folder.h"

namespace skopsfs::source {
namespace {

using ::testing::ElementsAre;
using testing::ErrnoOf;
using testing::FailureOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using ::testing::UnorderedElementsAreArray;

void MakeSocket(const std::string& path) {
  const util::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
}

class SourceTest : public ::testing::Test {
 protected:
  SourceTest() {
    std::filesystem::create_directories(path_);
    std::filesystem::create_directories(folder_ / "outside");
    testing::WriteFile(folder_ / "outside/secret.skops", "secret");
  }

  std::string In(const std::string& name) const { return path_ + "/" + name; }
  void Link(const std::string& target, const std::string& name) const {
    std::filesystem::create_symlink(target, In(name));
  }

  // The names in `folder` that are really there to be shown.
  static std::vector<std::string> Shown(const Source& source, const std::string& folder = "") {
    const Found open = source.Open(folder);
    std::vector<std::string> names;
    for (const auto& name : source.List(open)) {
      if (source.OpenChild(open, folder, name)) names.push_back(name);
    }
    return names;
  }
  static std::optional<Found> Child(const Source& source, const std::string& name) {
    return source.OpenChild(source.OpenRoot(), "", name);
  }

  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "source";
};

TEST_F(SourceTest, ArchiveNames) {
  EXPECT_TRUE(IsArchiveName("a.skops"));
  EXPECT_TRUE(IsArchiveName(".skops"));
  EXPECT_TRUE(IsArchiveName("a.skops.skops"));
  EXPECT_FALSE(IsArchiveName("a.SKOPS"));
  EXPECT_FALSE(IsArchiveName("a.skops.tmp"));
  EXPECT_FALSE(IsArchiveName("._a.skops")) << "of macOS, about a.skops";
  EXPECT_TRUE(IsArchiveName("_.skops"));
  EXPECT_FALSE(IsArchiveName("skops"));
  EXPECT_FALSE(IsArchiveName(""));
}

TEST_F(SourceTest, PlainFiles) {
  EXPECT_TRUE(IsPlainFile("a/b.skops/MLmodel", S_IFREG));
  EXPECT_TRUE(IsPlainFile("MLmodel", S_IFREG));
  EXPECT_FALSE(IsPlainFile("MLmodel", S_IFDIR));
  EXPECT_FALSE(IsPlainFile("a/b.skops", S_IFREG));
  EXPECT_FALSE(IsPlainFile("", S_IFREG)) << "a single archive, whatever its name is";
}

TEST_F(SourceTest, JoinedPaths) {
  EXPECT_EQ(JoinPath("", "a"), "a");
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/b", "c"), "a/b/c");
}

TEST_F(SourceTest, ShowsFoldersAndFiles) {
  const std::vector<std::string> archives = {"a.skops", "b c.skops", "\xc3\xa9.skops", ".skops"};
  const std::vector<std::string> others = {"notes.txt", "a.zip", "a.skops.tmp", "a.SKOPS",
                                           "._a.skops"};
  for (const auto& name : archives) testing::WriteFile(In(name), "");
  for (const auto& name : others) testing::WriteFile(In(name), "");
  for (const auto* name : {"folder", "folder.skops", ".hidden"}) {
    std::filesystem::create_directories(In(name));
  }
  testing::WriteFile(In("folder/deep.skops"), "");
  Source source(path_);
  EXPECT_FALSE(source.is_single_archive());
  std::vector<std::string> all = {"folder", "folder.skops", ".hidden"};
  all.insert(all.end(), archives.begin(), archives.end());
  const auto without_others = all;
  all.insert(all.end(), others.begin(), others.end());
  EXPECT_THAT(Shown(source), UnorderedElementsAreArray(all));
  EXPECT_FALSE(Child(source, "a.zip")->is_folder());
  EXPECT_TRUE(source.StatFile(source.OpenRoot(), "a.zip"));
  source.HideOthers();
  EXPECT_THAT(Shown(source), UnorderedElementsAreArray(without_others));
  EXPECT_THAT(Shown(source, "folder"), ElementsAre("deep.skops"));
  EXPECT_TRUE(Child(source, "folder.skops")->is_folder());
  EXPECT_FALSE(Child(source, "a.skops")->is_folder());
  EXPECT_EQ(Child(source, "a.skops")->st.st_ino, testing::StatOf(In("a.skops")).st_ino);
  EXPECT_FALSE(Child(source, "a.zip"));
  EXPECT_FALSE(source.StatFile(source.OpenRoot(), "a.zip"));
  EXPECT_FALSE(Child(source, "nowhere.skops"));
}

TEST_F(SourceTest, NeverShowsPipesSocketsAndDevices) {
  ASSERT_EQ(mkfifo(In("pipe.skops").c_str(), 0666), 0);
  MakeSocket(In("socket.skops"));
  Link("pipe.skops", "to_pipe.skops");
  Link("socket.skops", "to_socket.skops");
  if (geteuid() == 0) {
    ASSERT_EQ(mknod(In("device.skops").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
    Link("device.skops", "to_device.skops");
  }
  const Source source(path_);
  EXPECT_THAT(Shown(source), IsEmpty());
  for (const auto* name : {"pipe.skops", "socket.skops", "device.skops", "to_pipe.skops",
                           "to_socket.skops", "to_device.skops"}) {
    EXPECT_FALSE(Child(source, name)) << name;
  }
}

TEST_F(SourceTest, FollowsLinksThatStayInside) {
  std::filesystem::create_directories(In("blobs"));
  testing::WriteFile(In("blobs/0123"), "a model hub names files by their hash");
  testing::WriteFile(In("plain.skops"), "");
  Link("blobs/0123", "model.skops");
  Link("blobs", "to_folder");
  Link("model.skops", "twice.skops");
  Link(std::filesystem::canonical(path_).string() + "/blobs/0123", "absolute.skops");
  Link("plain.skops", "plain.txt");  // the name counts, not the target's
  const Source source(path_);
  EXPECT_THAT(Shown(source),
              UnorderedElementsAre("blobs", "plain.skops", "model.skops", "to_folder",
                                   "twice.skops", "absolute.skops", "plain.txt"));
  EXPECT_EQ(Child(source, "model.skops")->st.st_ino, testing::StatOf(In("blobs/0123")).st_ino);
  EXPECT_TRUE(Child(source, "to_folder")->is_folder());
}

TEST_F(SourceTest, HidesAndLogsLinksThatLeave) {
  Link("../outside/secret.skops", "relative.skops");
  Link(folder_ / "outside", "folder");
  const Source source(path_);
  const testing::LogCapture log;
  EXPECT_THAT(Shown(source), IsEmpty());
  EXPECT_THAT(log.texts(), UnorderedElementsAre(HasSubstr("\"relative.skops\": not shown"),
                                                HasSubstr("\"folder\": not shown")));
  for (const auto& line : log.lines()) EXPECT_EQ(line.level, util::LogLevel::kWarning);
}

TEST_F(SourceTest, HidesLinksThatLeadNowhereWithoutALine) {
  Link("nowhere.skops", "dangling.skops");
  Link("loop.skops", "loop.skops");
  testing::WriteFile(In("file"), "");
  Link("file/x", "through_file.skops");
  const Source source(path_);
  const testing::LogCapture log;
  EXPECT_THAT(Shown(source), ElementsAre("file"));
  EXPECT_THAT(log.texts(), IsEmpty());
}

// The kernel never asks for these, but nothing else keeps them inside.
TEST_F(SourceTest, OnlyChildrenAreChildren) {
  std::filesystem::create_directories(In("folder"));
  testing::WriteFile(In("folder/a.skops"), "");
  const Source source(path_);
  for (const auto* name :
       {"..", ".", "", "../outside", "../outside/secret.skops", "folder/..", "folder/a.skops"}) {
    std::optional<Found> found;
    ErrnoOf([&] { found = Child(source, name); });
    EXPECT_FALSE(found) << "'" << name << "'";
  }
}

TEST_F(SourceTest, AFolderThatWentAway) {
  std::filesystem::create_directories(In("folder"));
  testing::WriteFile(In("folder/a.skops"), "");
  const Source source(path_);
  const Found open = source.Open("folder");
  std::filesystem::remove_all(In("folder"));
  EXPECT_FALSE(source.OpenChild(open, "folder", "a.skops"));
  EXPECT_EQ(ErrnoOf([&] { source.Open("folder"); }), ENOENT);
}

TEST_F(SourceTest, OpensWhatWasLookedAt) {
  testing::WriteFile(In("a.skops"), "old");
  const Source source(path_);
  const auto found = Child(source, "a.skops");
  std::filesystem::rename(In("a.skops"), In("b.skops"));
  testing::WriteFile(In("a.skops"), "new");
  const util::UniqueFd fd = Source::OpenForReading(*found);
  std::string bytes(3, '?');
  EXPECT_EQ(read(fd.get(), bytes.data(), bytes.size()), 3);
  EXPECT_EQ(bytes, "old");
}

TEST_F(SourceTest, ASingleArchive) {
  testing::WriteFile(In("model.skops"), "x");
  const Source source(In("model.skops"));
  EXPECT_TRUE(source.is_single_archive());
  EXPECT_EQ(source.path(), In("model.skops"));
  EXPECT_EQ(source.OpenRoot().st.st_ino, testing::StatOf(In("model.skops")).st_ino);
  EXPECT_FALSE(source.OpenRoot().is_folder());
  std::filesystem::remove(In("model.skops"));
  EXPECT_EQ(ErrnoOf([&] { source.OpenRoot(); }), ENOENT);
}

TEST_F(SourceTest, ASingleArchiveMayHaveAnyNameAndBeALink) {
  testing::WriteFile(In("blob"), "x");
  Link("../outside/secret.skops", "link.skops");
  EXPECT_TRUE(Source(In("blob")).is_single_archive());
  EXPECT_TRUE(Source(In("link.skops")).is_single_archive());
}

TEST_F(SourceTest, AFolderMayBeALink) {
  testing::WriteFile(In("a.skops"), "");
  std::filesystem::create_symlink(path_, folder_ / "link");
  const Source source(folder_ / "link");
  EXPECT_FALSE(source.is_single_archive());
  EXPECT_THAT(Shown(source), ElementsAre("a.skops"));
}

TEST_F(SourceTest, PathIsAbsolute) {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder_.path());
  const Source source("./outside/../source");
  std::filesystem::current_path(before);
  EXPECT_EQ(source.path(), path_);
  EXPECT_TRUE(source.OpenRoot().is_folder());
}

TEST_F(SourceTest, NeitherFolderNorArchive) {
  ASSERT_EQ(mkfifo(In("pipe.skops").c_str(), 0666), 0);
  EXPECT_THAT(FailureOf([&] { Source{In("pipe.skops")}; }),
              HasSubstr("is neither a folder nor an archive"));
  EXPECT_EQ(ErrnoOf([&] { Source{In("pipe.skops")}; }), ENOTDIR);
  EXPECT_EQ(ErrnoOf([&] { Source{"/dev/null"}; }), ENOTDIR);
  EXPECT_EQ(ErrnoOf([&] { Source{In("nowhere")}; }), ENOENT);
  EXPECT_THAT(FailureOf([&] { Source{In("nowhere")}; }), HasSubstr("nowhere"));
}

TEST_F(SourceTest, WhatMayNotBeReadIsAnErrorAtOnce) {
  testing::WriteFile(In("a.skops"), "");
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
  std::filesystem::permissions(In("a.skops"), std::filesystem::perms::none);
  std::filesystem::permissions(path_, std::filesystem::perms(0311));
  {
    const testing::OrdinaryUser user;
    EXPECT_EQ(ErrnoOf([&] { Source{In("a.skops")}; }), EACCES);
    EXPECT_EQ(ErrnoOf([&] { Source{path_}; }), EACCES);
  }
  std::filesystem::permissions(path_, std::filesystem::perms(0755));
}

// The mode of the link's target also counts the folders on the link's way, which the mount does not
// show.
TEST_F(SourceTest, LinksThroughAClosedFolder) {
  std::filesystem::create_directories(In("closed"));
  testing::WriteFile(In("closed/a.skops"), "");
  std::filesystem::permissions(In("closed/a.skops"), std::filesystem::perms(0644));
  std::filesystem::permissions(In("closed"), std::filesystem::perms(0700));
  Link("closed/a.skops", "link.skops");
  const Source source(path_);
  EXPECT_EQ(Child(source, "link.skops")->st.st_mode & 0777, 0600U);
  std::filesystem::permissions(In("closed"), std::filesystem::perms(0755));
  EXPECT_EQ(Child(source, "link.skops")->st.st_mode & 0777, 0644U);
}

constexpr uint32_t kAnotherUser = 54321;

TEST_F(SourceTest, AccessListsOfFilesAndFolders) {
  testing::WriteFile(In("a.skops"), "");
  std::filesystem::create_directories(In("folder"));
  for (const auto* name : {"a.skops", "folder", ""}) {
    if (!testing::SetAccessList(In(name), {{ACL_USER_OBJ, 7},
                                           {ACL_USER, 0, kAnotherUser},
                                           {ACL_GROUP_OBJ, 5},
                                           {ACL_MASK, 5},
                                           {ACL_OTHER, 5}})) {
      GTEST_SKIP() << "a file system without access control lists";
    }
  }
  const Source source(path_);
  EXPECT_EQ(Child(source, "a.skops")->st.st_mode & 0777, 0700U);
  EXPECT_EQ(Child(source, "folder")->st.st_mode & 0777, 0700U);
  EXPECT_EQ(source.OpenRoot().st.st_mode & 0777, 0700U);
}

// The folder's group bits are only the mask of its list: its group may not search it.
TEST_F(SourceTest, LinksThroughAFolderWithAnAccessList) {
  std::filesystem::create_directories(In("listed"));
  testing::WriteFile(In("listed/a.skops"), "");
  std::filesystem::permissions(In("listed/a.skops"), std::filesystem::perms(0640));
  if (!testing::SetAccessList(In("listed"), {{ACL_USER_OBJ, 7},
                                             {ACL_USER, 5, kAnotherUser},
                                             {ACL_GROUP_OBJ, 0},
                                             {ACL_MASK, 5},
                                             {ACL_OTHER, 0}})) {
    GTEST_SKIP() << "a file system without access control lists";
  }
  Link("listed/a.skops", "link.skops");
  const Source source(path_);
  EXPECT_EQ(Child(source, "link.skops")->st.st_mode & 0777, 0600U);
}

}  // namespace
}  // namespace skopsfs::source
