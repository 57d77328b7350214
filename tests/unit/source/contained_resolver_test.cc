#include "source/contained_resolver.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "support/errors.h"
#include "support/open_archive.h"
#include "support/temp_folder.h"

namespace skopsfs::source {
namespace {

using testing::ErrnoOf;
using testing::StatOf;

constexpr int kLinksTheKernelFollows = 40;

// What a path must lead to: a place below the source, or a failure.
struct Case {
  std::string path;
  std::string place;  // relative to the source
  int code = 0;
};

class ContainedResolverTest : public ::testing::Test {
 protected:
  ContainedResolverTest() {
    namespace fs = std::filesystem;
    fs::create_directories(source_ + "/dir/deeper");
    fs::create_directories(folder_ / "source2");
    fs::create_directories(folder_ / "outside");
    for (const auto& path : {source_ + "/file", source_ + "/dir/inner", source_ + "/dir/deeper/f",
                             folder_ / "source2/secret", folder_ / "outside/secret"}) {
      testing::WriteFile(path, path);
    }
    for (const auto& [name, target] : links_) fs::create_symlink(target, source_ + "/" + name);
    for (int i = 1; i <= kLinksTheKernelFollows + 1; ++i) {
      fs::create_symlink(i == 1 ? "file" : "chain" + std::to_string(i - 1),
                         source_ + "/chain" + std::to_string(i));
    }
  }

  ContainedResolver MakeResolver() const {
    return {util::UniqueFd(open(source_.c_str(), O_PATH | O_CLOEXEC)), source_};
  }

  void Expect(const Case& expected, const char* way, const std::function<util::UniqueFd()>& open) {
    SCOPED_TRACE("'" + expected.path + "' by " + way);
    util::UniqueFd fd;
    EXPECT_EQ(ErrnoOf([&] { fd = open(); }), expected.code);
    if (!fd || expected.code != 0) return;
    struct stat st;
    ASSERT_EQ(fstat(fd.get(), &st), 0);
    const struct stat wanted = StatOf(source_ + "/" + expected.place);
    EXPECT_EQ(st.st_ino, wanted.st_ino);
    EXPECT_EQ(st.st_dev, wanted.st_dev);
    EXPECT_EQ(fcntl(fd.get(), F_GETFL) & O_PATH, O_PATH);
  }

  // The kernel's walk and our own must agree.
  void Expect(const std::vector<Case>& cases) {
    const ContainedResolver resolver = MakeResolver();
    for (const auto& expected : cases) {
      Expect(expected, "Open", [&] { return resolver.Open(expected.path); });
      Expect(expected, "Walk", [&] { return resolver.Walk(expected.path); });
    }
  }

  const testing::TempFolder folder_;
  const std::string source_ = (std::filesystem::canonical(folder_.path()) / "source").string();
  const std::string outside_ = folder_ / "outside";
  const std::vector<std::pair<std::string, std::string>> links_ = {
      {"relative", "dir/inner"},
      {"to_folder", "dir"},
      {"to_folder_slash", "dir/"},
      {"dots", "./dir/./deeper/../inner"},
      {"double_slash", "dir//inner"},
      {"dir/up", "../file"},
      {"dir/deeper/far_up", "../../file"},
      {"dir/self", "."},
      {"dir/parent", ".."},
      {"twice", "dir/up"},
      {"absolute", source_ + "/dir/inner"},
      {"absolute_folder", source_ + "/dir"},
      {"absolute_root", source_},
      {"absolute_root_slash", source_ + "/"},
      {"absolute_twice", source_ + "/absolute"},
      {"out", "../outside/secret"},
      {"out_folder", "../outside"},
      {"out_absolute", outside_ + "/secret"},
      {"out_and_back", "../source/file"},
      {"out_by_prefix", source_ + "2/secret"},
      {"out_by_dots", source_ + "/../outside/secret"},
      {"out_to_parent", ".."},
      {"out_to_slash", "/"},
      {"out_to_proc", "/proc/self/root"},
      {"dangling", "nowhere"},
      {"dangling_absolute", source_ + "/nowhere"},
      {"through_file", "file/x"},
      {"through_file_dot", "file/."},
      {"through_file_dots", "file/../file"},
      {"file_slash", "file/"},
      {"loop", "loop"},
      {"ping", "pong"},
      {"pong", "ping"},
  };
};

TEST_F(ContainedResolverTest, PathsWithoutLinks) {
  Expect({{"", "."},
          {"file", "file"},
          {"dir", "dir"},
          {"dir/", "dir"},
          {"dir/inner", "dir/inner"},
          {"./dir/./inner", "dir/inner"},
          {"dir//deeper///f", "dir/deeper/f"},
          {"dir/..", "."},
          {"dir/../file", "file"},
          {"dir/deeper/../../dir/inner", "dir/inner"},
          {"nowhere", "", ENOENT},
          {"dir/nowhere/file", "", ENOENT},
          {std::string(300, 'n'), "", ENAMETOOLONG}});
}

TEST_F(ContainedResolverTest, NothingIsReachedAboveTheFolder) {
  Expect({{"..", "", EXDEV},
          {"../outside/secret", "", EXDEV},
          {"dir/../..", "", EXDEV},
          {"dir/../../source/file", "", EXDEV}});
}

TEST_F(ContainedResolverTest, AFileIsNoFolder) {
  Expect({{"file/x", "", ENOTDIR},
          {"file/", "", ENOTDIR},
          {"file/.", "", ENOTDIR},
          {"file/..", "", ENOTDIR},
          {"file/../file", "", ENOTDIR},
          {"through_file", "", ENOTDIR},
          {"through_file_dot", "", ENOTDIR},
          {"through_file_dots", "", ENOTDIR},
          {"file_slash", "", ENOTDIR}});
}

TEST_F(ContainedResolverTest, LinksThatStayInside) {
  Expect({{"relative", "dir/inner"},
          {"to_folder", "dir"},
          {"to_folder/inner", "dir/inner"},
          {"to_folder_slash", "dir"},
          {"to_folder/../file", "file"},
          {"dots", "dir/inner"},
          {"double_slash", "dir/inner"},
          {"dir/up", "file"},
          {"dir/deeper/far_up", "file"},
          {"dir/self/self/inner", "dir/inner"},
          {"dir/parent", "."},
          {"dir/parent/dir/parent/file", "file"},
          {"twice", "file"}});
}

TEST_F(ContainedResolverTest, AbsoluteLinksThatStayInside) {
  Expect({{"absolute", "dir/inner"},
          {"absolute_folder/deeper/f", "dir/deeper/f"},
          {"absolute_folder/../file", "file"},
          {"absolute_root", "."},
          {"absolute_root/dir/inner", "dir/inner"},
          {"absolute_root_slash", "."},
          {"absolute_twice", "dir/inner"}});
}

TEST_F(ContainedResolverTest, LinksThatLeave) {
  Expect({{"out", "", EXDEV},
          {"out_folder", "", EXDEV},
          {"out_folder/secret", "", EXDEV},
          {"out_absolute", "", EXDEV},
          {"out_and_back", "", EXDEV},
          {"out_by_prefix", "", EXDEV},
          {"out_by_dots", "", EXDEV},
          {"out_to_parent", "", EXDEV},
          {"out_to_slash", "", EXDEV},
          {"out_to_proc", "", EXDEV},
          {"dir/parent/../outside", "", EXDEV}});
}

TEST_F(ContainedResolverTest, LinksThatLeadNowhere) {
  Expect({{"dangling", "", ENOENT},
          {"dangling_absolute", "", ENOENT},
          {"loop", "", ELOOP},
          {"loop/x", "", ELOOP},
          {"ping", "", ELOOP}});
}

TEST_F(ContainedResolverTest, AsManyLinksAsTheKernelFollows) {
  Expect({{"chain1", "file"},
          {"chain" + std::to_string(kLinksTheKernelFollows), "file"},
          {"chain" + std::to_string(kLinksTheKernelFollows + 1), "", ELOOP}});
}

TEST_F(ContainedResolverTest, StaysWithTheFolderWhenItIsMoved) {
  const ContainedResolver resolver = MakeResolver();
  std::filesystem::rename(source_, folder_ / "moved");
  EXPECT_TRUE(resolver.Open("dir/inner"));
  EXPECT_TRUE(resolver.Walk("dir/inner"));
  EXPECT_TRUE(resolver.Open("relative"));
  EXPECT_EQ(ErrnoOf([&] { resolver.Open(".."); }), EXDEV);
}

// A tree may be deeper than a path the kernel takes in one piece.
TEST_F(ContainedResolverTest, PathsLongerThanTheKernelTakes) {
  const std::string name(250, 'd');
  std::string path;
  util::UniqueFd folder(open(source_.c_str(), O_PATH | O_CLOEXEC));
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(mkdirat(folder.get(), name.c_str(), 0700), 0);
    folder.Reset(openat(folder.get(), name.c_str(), O_PATH | O_CLOEXEC));
    path += (path.empty() ? "" : "/") + name;
  }
  struct stat wanted;
  ASSERT_EQ(fstat(folder.get(), &wanted), 0);
  const ContainedResolver resolver = MakeResolver();
  for (const bool by_open : {true, false}) {
    SCOPED_TRACE(by_open ? "Open" : "Walk");
    util::UniqueFd fd;
    EXPECT_EQ(ErrnoOf([&] { fd = by_open ? resolver.Open(path) : resolver.Walk(path); }), 0);
    struct stat st {};
    fstat(fd.get(), &st);
    EXPECT_EQ(st.st_ino, wanted.st_ino);
  }
}

TEST_F(ContainedResolverTest, WalkTellsWhichFoldersItWentThrough) {
  const ContainedResolver resolver = MakeResolver();
  std::vector<ino_t> visited;
  const auto visit = [&](const struct stat& folder) { visited.push_back(folder.st_ino); };
  const auto inode = [&](const std::string& path) { return StatOf(source_ + "/" + path).st_ino; };

  resolver.Walk("dir/deeper/f", visit);
  EXPECT_EQ(visited, (std::vector{inode("dir"), inode("dir/deeper")}));
  visited.clear();
  resolver.Walk("relative", visit);
  EXPECT_EQ(visited, std::vector{inode("dir")});
  visited.clear();
  resolver.Walk("dir/up", visit);
  EXPECT_EQ(visited, std::vector{inode("dir")});
  visited.clear();
  resolver.Walk("dir", visit);
  EXPECT_TRUE(visited.empty()) << "it went to the folder, not through it";
}

// A rename anywhere makes the kernel give up on "..", and then our own walk takes over.
TEST_F(ContainedResolverTest, WhileFoldersAreRenamed) {
  const ContainedResolver resolver = MakeResolver();
  std::atomic<bool> stop = false;
  std::thread mover([&] {
    const std::string names[] = {folder_ / "source2", folder_ / "source3"};
    for (size_t i = 0; !stop; ++i) std::filesystem::rename(names[i % 2], names[(i + 1) % 2]);
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        EXPECT_EQ(ErrnoOf([&] { resolver.Open("dir/deeper/../deeper/far_up"); }), 0);
        EXPECT_EQ(ErrnoOf([&] { resolver.Open("dir/../../outside/secret"); }), EXDEV);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  stop = true;
  mover.join();
}

}  // namespace
}  // namespace skopsfs::source
