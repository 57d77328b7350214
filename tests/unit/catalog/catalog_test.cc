#include "catalog/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "support/archive_files.h"
#include "support/errors.h"
#include "support/file_changes.h"
#include "support/log_capture.h"
#include "support/ordinary_user.h"
#include "support/samples.h"
#include "unit/catalog/room_maker.h"

namespace skopsfs::catalog {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::ErrnoOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::LookUp;
using testing::MemberOf;

class CatalogTest : public ::testing::Test {
 protected:
  CatalogTest() { std::filesystem::create_directories(source_); }

  Catalog& Start(const OpenArchives::Budget& budget = {}) {
    catalog_ = std::make_unique<Catalog>(source_, budget);
    return *catalog_;
  }
  std::string In(const std::string& name) const { return source_ + "/" + name; }

  const testing::TempFolder folder_;
  const std::string source_ = folder_ / "source";
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogTest, OpensArchivesAtAnyDepth) {
  std::filesystem::create_directories(In("a/b"));
  testing::WriteFile(In("top.skops"), testing::ArchiveOf("top"));
  testing::WriteFile(In("a/b/deep.skops"), testing::ArchiveOf("deep"));
  auto& catalog = Start();
  EXPECT_EQ(MemberOf(catalog.Open(LookUp(catalog, "top.skops"))), "top");
  const auto deep = LookUp(catalog, "a/b/deep.skops");
  EXPECT_EQ(deep->path, "a/b/deep.skops");
  EXPECT_EQ(MemberOf(catalog.Open(deep)), "deep");
  EXPECT_EQ(LookUp(catalog, "a/nowhere.skops"), nullptr);
  EXPECT_EQ(catalog.LabelOf(*deep), "a/b/deep.skops");
}

TEST_F(CatalogTest, LookingUpOpensNothing) {
  testing::WriteFile(In("a.skops"), "not even an archive");
  auto& catalog = Start();
  const testing::LogCapture log;
  EXPECT_NE(LookUp(catalog, "a.skops"), nullptr);
  EXPECT_EQ(catalog.open_archives().open_files(), 0U);
  EXPECT_THAT(log.texts(), IsEmpty());
}

TEST_F(CatalogTest, SlotsLeaveWhenForgotten) {
  std::filesystem::create_directories(In("a"));
  testing::WriteFile(In("a/x.skops"), testing::ArchiveOf("x"));
  auto& catalog = Start();
  auto slot = LookUp(catalog, "a/x.skops");
  catalog.Open(slot);
  EXPECT_EQ(catalog.slots().All().size(), 3U);
  EXPECT_EQ(catalog.open_archives().open_files(), 1U);
  catalog.slots().Forget(slot->parent->id, 1);
  catalog.slots().Forget(slot->id, 1);
  EXPECT_EQ(catalog.slots().All().size(), 1U);
  slot.reset();
  EXPECT_EQ(catalog.open_archives().open_files(), 0U);
}

// --- folders ---

TEST_F(CatalogTest, AFolderStaysItselfWhateverHappensInIt) {
  std::filesystem::create_directories(In("a"));
  auto& catalog = Start();
  const auto slot = LookUp(catalog, "a");
  testing::WriteFile(In("a/new.skops"), "");
  std::filesystem::permissions(In("a"), std::filesystem::perms(0700));
  EXPECT_EQ(LookUp(catalog, "a"), slot);
  EXPECT_EQ(ErrnoOf([&] { catalog.OpenFolder(*slot); }), 0);
  EXPECT_EQ(catalog.StatFolder(*slot).st_mode & 0777, 0700U) << "as it is now";
}

TEST_F(CatalogTest, AFolderReplacedByAnother) {
  std::filesystem::create_directories(In("a/sub"));
  auto& catalog = Start();
  const auto slot = LookUp(catalog, "a");
  const auto sub = LookUp(catalog, "a/sub");
  std::filesystem::rename(In("a"), In("b"));
  std::filesystem::create_directories(In("a/sub"));
  for (const auto& old : {slot, sub}) {
    EXPECT_EQ(ErrnoOf([&] { catalog.OpenFolder(*old); }), ESTALE) << old->path;
    EXPECT_EQ(ErrnoOf([&] { catalog.StatFolder(*old); }), ESTALE) << old->path;
  }
  EXPECT_NE(LookUp(catalog, "a"), slot);
  EXPECT_NE(LookUp(catalog, "a/sub"), sub);
  EXPECT_TRUE(slot->superseded);
}

TEST_F(CatalogTest, AFolderThatIsGone) {
  std::filesystem::create_directories(In("a/b"));
  auto& catalog = Start();
  const auto slot = LookUp(catalog, "a");
  const auto below = LookUp(catalog, "a/b");
  std::filesystem::remove_all(In("a"));
  for (const auto& old : {slot, below}) {
    EXPECT_EQ(ErrnoOf([&] { catalog.OpenFolder(*old); }), ESTALE) << old->path;
    EXPECT_EQ(ErrnoOf([&] { catalog.StatFolder(*old); }), ESTALE) << old->path;
  }
  EXPECT_EQ(LookUp(catalog, "a"), nullptr);
}

TEST_F(CatalogTest, AFolderReplacedByAnArchive) {
  std::filesystem::create_directories(In("a.skops"));
  auto& catalog = Start();
  const auto folder = LookUp(catalog, "a.skops");
  EXPECT_TRUE(folder->is_folder);
  std::filesystem::remove(In("a.skops"));
  testing::WriteFile(In("a.skops"), testing::ArchiveOf("x"));
  EXPECT_EQ(ErrnoOf([&] { catalog.OpenFolder(*folder); }), ESTALE);
  const auto archive = LookUp(catalog, "a.skops");
  EXPECT_FALSE(archive->is_folder);
  EXPECT_EQ(MemberOf(catalog.Open(archive)), "x");
}

TEST_F(CatalogTest, TheSourceItselfMayChangeButNotBeReplaced) {
  auto& catalog = Start();
  testing::WriteFile(In("a.skops"), testing::ArchiveOf("x"));
  EXPECT_NE(LookUp(catalog, "a.skops"), nullptr);
  std::filesystem::rename(source_, folder_ / "moved");
  std::filesystem::create_directories(source_);
  // It is held open: what was mounted is shown, wherever it is now.
  EXPECT_NE(LookUp(catalog, "a.skops"), nullptr);
}

// --- symbolic links ---

TEST_F(CatalogTest, LinksToAFolderTheyLieInAreHidden) {
  std::filesystem::create_directories(In("a/b"));
  std::filesystem::create_symlink("..", In("a/b/up"));
  std::filesystem::create_symlink("../..", In("a/b/top"));
  std::filesystem::create_symlink(".", In("a/b/self"));
  auto& catalog = Start();
  const testing::LogCapture log;
  for (const auto* name : {"up", "top", "self"}) {
    const std::string path = std::string("a/b/") + name;
    EXPECT_EQ(LookUp(catalog, path), nullptr) << name;
    EXPECT_THAT(log.texts(), Contains(HasSubstr("\"" + path + "\": not shown")));
  }
}

TEST_F(CatalogTest, LinksThatLeadRoundInTheEndAreHiddenInTheEnd) {
  std::filesystem::create_directories(In("a"));
  std::filesystem::create_directories(In("b"));
  std::filesystem::create_symlink("../b", In("a/to_b"));
  std::filesystem::create_symlink("../a", In("b/to_a"));
  auto& catalog = Start();
  const testing::LogCapture log;
  EXPECT_NE(LookUp(catalog, "a/to_b"), nullptr);
  EXPECT_EQ(LookUp(catalog, "a/to_b/to_a"), nullptr);
  EXPECT_NE(LookUp(catalog, "b/to_a"), nullptr);
  EXPECT_EQ(LookUp(catalog, "b/to_a/to_b"), nullptr);
}

TEST_F(CatalogTest, AGlanceSeesWhatIsFound) {
  std::filesystem::create_directories(In("folder"));
  testing::WriteFile(In("a.skops"), "");
  testing::WriteFile(In("notes.txt"), "");
  std::filesystem::create_symlink("a.skops", In("link.skops"));
  std::filesystem::create_symlink("a.skops", In("link.txt"));
  std::filesystem::create_symlink("folder", In("to_folder"));
  std::filesystem::create_symlink(".", In("self"));
  std::filesystem::create_symlink("nowhere", In("nowhere.skops"));
  ASSERT_EQ(mkfifo(In("fifo.skops").c_str(), 0644), 0);
  auto& catalog = Start();
  const source::Found open = catalog.OpenFolder(*catalog.root());
  std::vector<std::string> seen;
  for (const std::string name :
       {"folder", "a.skops", "notes.txt", "link.skops", "link.txt", "to_folder", "self",
        "nowhere.skops", "fifo.skops", "missing.skops", ".", "..", "", "folder/../a.skops"}) {
    const auto glance = catalog.StatChild(*catalog.root(), open, name);
    const auto found = catalog.FindChild(*catalog.root(), open, name);
    ASSERT_EQ(glance.has_value(), found.has_value()) << name;
    if (!found) continue;
    seen.push_back(name);
    EXPECT_EQ(glance->st_mode & S_IFMT, found->st.st_mode & S_IFMT) << name;
    EXPECT_EQ(SlotIdentity(*glance), SlotIdentity(found->st)) << name;
  }
  EXPECT_THAT(seen,
              ElementsAre("folder", "a.skops", "notes.txt", "link.skops", "link.txt", "to_folder"));
}

TEST_F(CatalogTest, AnArchiveBehindALink) {
  std::filesystem::create_directories(In("blobs"));
  testing::WriteFile(In("blobs/1"), testing::ArchiveOf("one"));
  testing::WriteFile(In("blobs/2"), testing::ArchiveOf("two"));
  std::filesystem::create_symlink("blobs/1", In("model.skops"));
  auto& catalog = Start();
  const auto one = LookUp(catalog, "model.skops");
  EXPECT_EQ(MemberOf(catalog.Open(one)), "one");
  std::filesystem::create_symlink("blobs/2", In("new"));
  std::filesystem::rename(In("new"), In("model.skops"));
  const auto two = LookUp(catalog, "model.skops");
  EXPECT_NE(two, one);
  EXPECT_EQ(MemberOf(catalog.Open(two)), "two");
  EXPECT_EQ(ErrnoOf([&] { catalog.Open(one); }), ESTALE);
}

// The link resolves to a file while it is looked up and must do so when it is opened.
TEST_F(CatalogTest, WhatIsShownBehindALinkCanBeOpened) {
  testing::WriteFile(In("real.skops"), testing::ArchiveOf("x"));
  for (const auto* target :
       {"real.skops", "./real.skops", "real.skops/", "real.skops/.", "real.skops/../real.skops"}) {
    std::filesystem::create_symlink(target, In("link.skops"));
    auto& catalog = Start();
    const auto slot = LookUp(catalog, "link.skops");
    if (slot) {
      EXPECT_EQ(ErrnoOf([&] { catalog.Open(slot); }), 0) << target;
    }
    std::filesystem::remove(In("link.skops"));
  }
}

// --- failures ---

TEST_F(CatalogTest, AFailureIsRememberedAndLoggedOnce) {
  testing::WriteFile(In("bad.skops"), "no archive at all");
  auto& catalog = Start();
  const auto slot = LookUp(catalog, "bad.skops");
  const testing::LogCapture log;
  const std::string first = testing::FailureOf([&] { catalog.Open(slot); });
  EXPECT_THAT(first, ::testing::StartsWith(std::to_string(EIO)));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(testing::FailureOf([&] { catalog.Open(slot); }), first);
  }
  ASSERT_EQ(log.lines().size(), 1U);
  EXPECT_EQ(log.lines()[0].level, util::LogLevel::kError);
  EXPECT_THAT(log.texts()[0], HasSubstr("\"bad.skops\": cannot be opened: "));
  EXPECT_EQ(catalog.open_archives().open_files(), 0U);
}

TEST_F(CatalogTest, AFailureHealsWhenTheFileIsReplaced) {
  testing::WriteFile(In("bad.skops"), "no archive at all");
  auto& catalog = Start();
  const testing::LogCapture log;
  const auto bad = LookUp(catalog, "bad.skops");
  EXPECT_EQ(ErrnoOf([&] { catalog.Open(bad); }), EIO);
  testing::ReplaceFile(In("bad.skops"), testing::ArchiveOf("good"));
  EXPECT_EQ(MemberOf(catalog.Open(LookUp(catalog, "bad.skops"))), "good");
}

TEST_F(CatalogTest, AnUploadHealsWhenItIsWhole) {
  const std::string whole = testing::ArchiveOf(testing::Noise(10'000));
  testing::WriteFile(In("a.skops"), "");
  auto& catalog = Start();
  const testing::LogCapture log;
  for (size_t done = 0; done < whole.size(); done += 3000) {
    testing::Overwrite(In("a.skops"), done, std::string_view(whole).substr(done, 3000));
    const auto slot = LookUp(catalog, "a.skops");
    if (done + 3000 < whole.size()) {
      EXPECT_EQ(ErrnoOf([&] { catalog.Open(slot); }), EIO) << done;
    } else {
      EXPECT_EQ(MemberOf(catalog.Open(slot)), testing::Noise(10'000));
    }
  }
}

TEST_F(CatalogTest, LackOfDescriptorsIsNotRemembered) {
  for (const auto* name : {"a.skops", "b.skops"}) {
    testing::WriteFile(In(name), testing::ArchiveOf(name));
  }
  auto& catalog = Start({.descriptors = 1});
  const testing::LogCapture log;
  const testing::RoomMaker nothing_goes(catalog.open_archives());
  auto held = catalog.Open(LookUp(catalog, "a.skops"));
  const auto slot = LookUp(catalog, "b.skops");
  EXPECT_EQ(ErrnoOf([&] { catalog.Open(slot); }), ENFILE);
  EXPECT_THAT(log.texts(), Contains(HasSubstr("\"b.skops\": cannot be opened: all 1 descriptors")));
  held = {};
  EXPECT_EQ(MemberOf(catalog.Open(slot)), "b.skops");
}

TEST_F(CatalogTest, WhatMayNotBeReadHealsWithThePermission) {
  testing::WriteFile(In("a.skops"), testing::ArchiveOf("x"));
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
  std::filesystem::permissions(source_, std::filesystem::perms(0755));
  std::filesystem::permissions(In("a.skops"), std::filesystem::perms::none);
  auto& catalog = Start();
  const testing::LogCapture log;
  {
    const testing::OrdinaryUser user;
    const auto slot = LookUp(catalog, "a.skops");
    EXPECT_EQ(ErrnoOf([&] { catalog.Open(slot); }), EACCES);
  }
  EXPECT_THAT(log.texts(), Contains(HasSubstr("\"a.skops\": cannot be opened")));
  std::filesystem::permissions(In("a.skops"), std::filesystem::perms(0644));
  EXPECT_EQ(MemberOf(catalog.Open(LookUp(catalog, "a.skops"))), "x");
}

// --- descriptors and threads ---

TEST_F(CatalogTest, ClosedArchivesAreOpenedAgain) {
  for (int i = 0; i < 10; ++i) {
    testing::WriteFile(In(std::to_string(i) + ".skops"), testing::ArchiveOf(std::to_string(i)));
  }
  auto& catalog = Start({.descriptors = 3, .idle_index_bytes = 1000});
  for (int i = 0; i < 30; ++i) {
    const std::string n = std::to_string(i % 10);
    EXPECT_EQ(MemberOf(catalog.Open(LookUp(catalog, n + ".skops"))), n);
    EXPECT_LE(catalog.open_archives().open_files(), 3U);
  }
}

TEST_F(CatalogTest, ReopeningChecksTheIdentity) {
  testing::WriteFile(In("a.skops"), testing::ArchiveOf("old"));
  testing::WriteFile(In("b.skops"), testing::ArchiveOf("other"));
  auto& catalog = Start({.descriptors = 1});
  const auto slot = LookUp(catalog, "a.skops");
  catalog.Open(slot);
  catalog.Open(LookUp(catalog, "b.skops"));
  ASSERT_FALSE(slot->file()) << "closed for want of room";
  testing::ReplaceFile(In("a.skops"), testing::ArchiveOf("new"));
  EXPECT_EQ(ErrnoOf([&] { catalog.Open(slot); }), ESTALE);
}

TEST_F(CatalogTest, OpenFromManyThreads) {
  constexpr size_t kArchives = 12;
  for (size_t i = 0; i < kArchives; ++i) {
    testing::WriteFile(In(std::to_string(i) + ".skops"), testing::ArchiveOf(std::to_string(i)));
  }
  auto& catalog = Start({.descriptors = 24, .idle_index_bytes = 2000});
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 16; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 100; ++i) {
        const std::string n = std::to_string((i + t) % kArchives);
        const auto slot = LookUp(catalog, n + ".skops");
        EXPECT_EQ(ErrnoOf([&] { EXPECT_EQ(MemberOf(catalog.Open(slot)), n); }), 0);
        if (i % 20 == 0) catalog.Tidy();
        catalog.slots().Forget(slot->id, 1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(catalog.slots().All().size(), 1U);
  EXPECT_EQ(catalog.open_archives().open_files(), 0U);
}

}  // namespace
}  // namespace skopsfs::catalog
