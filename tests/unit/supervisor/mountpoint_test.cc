#include "supervisor/mountpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "support/errors.h"
#include "support/log_capture.h"
#include "support/temp_folder.h"

namespace skopsfs::supervisor {
namespace {

using testing::ErrnoOf;
using testing::FailureOf;
using ::testing::HasSubstr;

class MountpointTest : public ::testing::Test {
 protected:
  MountpointTest() { std::filesystem::create_directory(real_); }

  const testing::TempFolder folder_;
  const testing::LogCapture log_;
  const std::string real_ = (std::filesystem::canonical(folder_.path()) / "mount point").string();
};

TEST_F(MountpointTest, AFolderByAnyName) {
  std::filesystem::create_directory_symlink("mount point", folder_ / "link");
  std::filesystem::create_directory_symlink(real_, folder_ / "absolute");
  for (const auto& path : {real_, real_ + "/", real_ + "/.", real_ + "/../mount point",
                           folder_ / "link", folder_ / "link/", folder_ / "absolute"}) {
    EXPECT_EQ(PrepareMountpoint(path), real_) << path;
  }
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder_.path());
  EXPECT_EQ(PrepareMountpoint("mount point"), real_);
  std::filesystem::current_path(real_);
  EXPECT_EQ(PrepareMountpoint("."), real_);
  std::filesystem::current_path(before);
  EXPECT_TRUE(log_.lines().empty());
}

TEST_F(MountpointTest, NamesThatMountinfoWritesInAnotherWay) {
  for (const auto* name : {"a\tb", "a\nb", "a\\b", "a\\040b", "\xff"}) {
    const std::string path = folder_ / name;
    std::filesystem::create_directory(path);
    EXPECT_EQ(PrepareMountpoint(path), std::filesystem::canonical(path).string());
  }
}

TEST_F(MountpointTest, NoFolder) {
  testing::WriteFile(folder_ / "file", "");
  std::filesystem::create_symlink("nowhere", folder_ / "dangling");
  EXPECT_EQ(ErrnoOf([&] { PrepareMountpoint(folder_ / "nowhere"); }), ENOENT);
  EXPECT_EQ(ErrnoOf([&] { PrepareMountpoint(folder_ / "dangling"); }), ENOENT);
  EXPECT_EQ(ErrnoOf([&] { PrepareMountpoint(folder_ / "file"); }), ENOTDIR);
  EXPECT_EQ(ErrnoOf([&] { PrepareMountpoint(folder_ / "file/x"); }), ENOTDIR);
  EXPECT_EQ(ErrnoOf([&] { PrepareMountpoint(""); }), ENOENT);
  EXPECT_THAT(FailureOf([&] { PrepareMountpoint(folder_ / "nowhere"); }),
              HasSubstr("mountpoint \"" + (folder_ / "nowhere") + "\": No such file"));
  EXPECT_THAT(FailureOf([&] { PrepareMountpoint(folder_ / "file"); }), HasSubstr("not a folder"));
}

TEST_F(MountpointTest, WhetherThereIsSomething) {
  EXPECT_FALSE(AnyNameIn(real_));
  EXPECT_FALSE(AnyNameIn(real_ + "/nowhere"));
  testing::WriteFile(real_ + "/.hidden", "");
  EXPECT_EQ(AnyNameIn(real_), ".hidden");
}

TEST(LiesInside, Table) {
  struct Case {
    std::string path;
    std::string folder;
    bool inside;
  };
  const std::vector<Case> cases = {
      {"/a/b", "/a", true},  {"/a/b/c", "/a", true}, {"/a/b", "/a/", true}, {"/a", "/", true},
      {"/a", "/a", false},   {"/ab", "/a", false},   {"/a", "/a/b", false}, {"/", "/", false},
      {"/b/a", "/a", false}, {"/a b", "/a", false},  {"/", "/a", false},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(LiesInside(c.path, c.folder), c.inside) << c.path << " in " << c.folder;
  }
}

}  // namespace
}  // namespace skopsfs::supervisor
