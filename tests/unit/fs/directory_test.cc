#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "fs/file_system.h"
#include "support/archive_files.h"
#include "support/errors.h"
#include "support/kernel.h"
#include "support/log_capture.h"

namespace skopsfs::fs {
namespace {

using ::testing::ElementsAre;
using testing::ErrnoOf;
using ::testing::UnorderedElementsAre;
using Item = testing::Kernel::Item;

class DirectoryTest : public ::testing::Test {
 protected:
  DirectoryTest() {
    std::filesystem::create_directories(folder_ / "sub/deeper");
    testing::ArchiveBuilder builder;
    builder.Add({.name = "schema.json", .data = "{}"})
        .Add({.name = "arrays/1.npy", .data = "1"})
        .Add({.name = "arrays/2.npy", .data = "22"})
        .Add({.name = "empty/"});
    builder.WriteTo(folder_ / "a.skops");
    testing::WriteFile(folder_ / "sub/b.skops", testing::ArchiveOf("b"));
    testing::WriteFile(folder_ / "bad.skops", "no archive");
    testing::WriteFile(folder_ / "notes.txt", "");
  }

  std::vector<Item> List(const std::string& path, bool lookup = false,
                         size_t at_a_time = SIZE_MAX) {
    const auto node = kernel_.Node(path);
    fs_.OpenDirectory(node);
    return kernel_.List(node, lookup, at_a_time);
  }
  static std::vector<std::string> NamesOf(const std::vector<Item>& items) {
    std::vector<std::string> names;
    for (const auto& item : items) names.push_back(item.name);
    return names;
  }

  const testing::TempFolder folder_;
  const testing::LogCapture log_;
  FileSystem fs_{folder_.path().string(), {.revalidate = 7}};
  testing::Kernel kernel_{fs_};
};

TEST_F(DirectoryTest, Names) {
  EXPECT_THAT(NamesOf(List("")),
              UnorderedElementsAre(".", "..", "sub", "a.skops", "bad.skops", "notes.txt"));
  EXPECT_THAT(NamesOf(List("sub")), UnorderedElementsAre(".", "..", "deeper", "b.skops"));
  EXPECT_THAT(NamesOf(List("sub/deeper")), ElementsAre(".", ".."));
  EXPECT_THAT(NamesOf(List("a.skops")),
              ElementsAre(".", "..", "arrays", "empty", "schema.json", "by-name"));
  EXPECT_THAT(NamesOf(List("a.skops/arrays")), ElementsAre(".", "..", "1.npy", "2.npy"));
  EXPECT_THAT(NamesOf(List("a.skops/empty")), ElementsAre(".", ".."));
}

TEST_F(DirectoryTest, ListingAFolderOpensNoArchive) {
  List("", true);
  EXPECT_EQ(fs_.catalog().open_archives().open_files(), 0U);
  EXPECT_TRUE(log_.lines().empty()) << "not even the one that is none was looked into";
}

TEST_F(DirectoryTest, WhatIsListedIsWhatIsLookedUp) {
  for (const std::string path : {"", "sub", "a.skops", "a.skops/arrays"}) {
    for (const bool lookup : {false, true}) {
      for (const auto& item : List(path, lookup)) {
        if (item.name == "." || item.name == "..") continue;
        const auto found = kernel_.Find(path.empty() ? item.name : path + "/" + item.name);
        ASSERT_TRUE(found) << item.name;
        EXPECT_EQ(item.entry.attributes.st_ino, found->attributes.st_ino) << item.name;
        EXPECT_EQ(item.entry.attributes.st_mode, found->attributes.st_mode) << item.name;
        if (!lookup) continue;
        // With lookup, everything that a lookup says.
        EXPECT_EQ(item.entry.node, found->node) << item.name;
        EXPECT_EQ(item.entry.attributes.st_size, found->attributes.st_size) << item.name;
        EXPECT_EQ(item.entry.attributes.st_mtim.tv_sec, found->attributes.st_mtim.tv_sec);
        EXPECT_EQ(item.entry.entry_timeout, found->entry_timeout) << item.name;
        EXPECT_EQ(item.entry.attribute_timeout, found->attribute_timeout) << item.name;
      }
    }
  }
}

TEST_F(DirectoryTest, DotsAreTheDirectoryAndItsParent) {
  const auto inode = [&](const std::string& path) {
    return fs_.GetAttributes(kernel_.Node(path)).attributes.st_ino;
  };
  const std::map<std::string, std::string> parents = {{"", ""},
                                                      {"sub", ""},
                                                      {"sub/deeper", "sub"},
                                                      {"a.skops", ""},
                                                      {"sub/b.skops", "sub"},
                                                      {"a.skops/arrays", "a.skops"}};
  for (const auto& [path, parent] : parents) {
    const auto items = List(path);
    ASSERT_GE(items.size(), 2U);
    EXPECT_EQ(items[0].name, ".");
    EXPECT_EQ(items[0].entry.attributes.st_ino, inode(path)) << path;
    EXPECT_TRUE(S_ISDIR(items[0].entry.attributes.st_mode));
    EXPECT_EQ(items[1].name, "..");
    EXPECT_EQ(items[1].entry.attributes.st_ino, inode(parent)) << path;
    EXPECT_TRUE(S_ISDIR(items[1].entry.attributes.st_mode));
  }
}

TEST_F(DirectoryTest, ComesInPiecesOfAnySize) {
  for (const std::string path : {"", "a.skops", "a.skops/arrays", "sub/deeper"}) {
    const auto whole = List(path);
    for (const bool lookup : {false, true}) {
      for (size_t at_a_time = 1; at_a_time <= whole.size() + 1; ++at_a_time) {
        EXPECT_EQ(NamesOf(List(path, lookup, at_a_time)), NamesOf(whole)) << path << at_a_time;
      }
    }
  }
}

TEST_F(DirectoryTest, GoesOnFromAnyPosition) {
  for (const std::string path : {"", "a.skops"}) {
    const auto node = kernel_.Node(path);
    const auto whole = kernel_.List(node);
    for (size_t i = 0; i < whole.size(); ++i) {
      std::vector<std::string> rest;
      fs_.ReadDirectory(node, whole[i].next, false, [&](const DirectoryEntry& entry) {
        rest.emplace_back(entry.name);
        return true;
      });
      EXPECT_EQ(rest, NamesOf({whole.begin() + static_cast<ptrdiff_t>(i) + 1, whole.end()}));
    }
    for (const uint64_t beyond : {whole.back().next + 1, uint64_t{INT64_MAX}, UINT64_MAX}) {
      fs_.ReadDirectory(node, beyond, false, [](const DirectoryEntry& entry) {
        ADD_FAILURE() << entry.name;
        return true;
      });
    }
  }
}

TEST_F(DirectoryTest, LookupsAreCountedForWhatWasTakenOnly) {
  for (const std::string path : {"", "sub", "a.skops", "a.skops/arrays"}) {
    for (size_t at_a_time = 1; at_a_time < 7; ++at_a_time) {
      List(path, true, at_a_time);
      kernel_.ForgetAll();
      EXPECT_EQ(fs_.catalog().slots().All().size(), 1U) << path << " " << at_a_time;
    }
  }
}

TEST_F(DirectoryTest, LookupsHoldTheirSlots) {
  const auto items = List("", true);
  EXPECT_EQ(fs_.catalog().slots().All().size(), 5U);
  for (const auto& item : items) {
    EXPECT_EQ(ErrnoOf([&] { fs_.GetAttributes(item.entry.node); }), 0) << item.name;
  }
}

TEST_F(DirectoryTest, OfWhatIsNone) {
  EXPECT_NE(ErrnoOf([&] { fs_.OpenDirectory({.slot = 4711, .index = 0}); }), 0);
  EXPECT_EQ(ErrnoOf([&] { fs_.OpenDirectory(kernel_.Node("bad.skops")); }), EIO);
}

// --- changes while a directory is open ---

TEST_F(DirectoryTest, AnOpenFolderListsTheNamesThatItHasWhenAListingBegins) {
  const auto node = kernel_.Node("sub");
  fs_.OpenDirectory(node);
  std::filesystem::remove(folder_ / "sub/b.skops");
  testing::WriteFile(folder_ / "sub/new.skops", "");
  EXPECT_THAT(NamesOf(kernel_.List(node)), UnorderedElementsAre(".", "..", "deeper", "new.skops"));
  testing::WriteFile(folder_ / "sub/newer.skops", "");
  EXPECT_THAT(NamesOf(kernel_.List(node)),
              UnorderedElementsAre(".", "..", "deeper", "new.skops", "newer.skops"));
}

// Its names are forgotten, as by another worker; so it is looked at again.
TEST_F(DirectoryTest, AListingGoesOnAfterItWasForgotten) {
  std::set<std::string> stay;
  std::filesystem::create_directories(folder_ / "many");
  const auto path_of = [&](const std::string& name) { return folder_ / ("many/" + name); };
  for (int i = 0; i < 100; ++i) {
    const std::string name = std::to_string(i) + ".skops";
    testing::WriteFile(path_of(name), "");
    if (i % 10 != 0) stay.insert(name);
  }
  const NodeId node = kernel_.Node("many");
  fs_.OpenDirectory(node);
  std::multiset<std::string> listed;
  uint64_t position = 0;
  for (int step = 0;; ++step) {
    const size_t before = listed.size();
    fs_.ReadDirectory(node, position, false, [&](const DirectoryEntry& entry) {
      if (listed.size() == before + 7) return false;
      listed.emplace(entry.name);
      position = entry.next;
      return true;
    });
    if (listed.size() == before) break;
    for (int i = 0; i < 3; ++i) fs_.Tidy();
    std::filesystem::remove(path_of(std::to_string(step % 10 * 10) + ".skops"));
    testing::WriteFile(path_of("new" + std::to_string(step) + ".skops"), "");
  }
  for (const auto& name : stay) EXPECT_EQ(listed.count(name), 1U) << name;
  for (const auto& name : listed) EXPECT_EQ(listed.count(name), 1U) << name;
}

TEST_F(DirectoryTest, AListingThatFailsHalfwayTellsWhatWasTaken) {
  const NodeId node = kernel_.Node("sub");
  fs_.OpenDirectory(node);
  std::vector<std::string> taken;
  const auto sink = [&](const DirectoryEntry& entry) {
    taken.emplace_back(entry.name);
    if (entry.name == "..") std::filesystem::remove_all(folder_ / "sub");
    return true;
  };
  EXPECT_EQ(ErrnoOf([&] { fs_.ReadDirectory(node, 0, false, sink); }), 0);
  EXPECT_THAT(taken, ElementsAre(".", ".."));
  EXPECT_NE(ErrnoOf([&] { fs_.ReadDirectory(node, kFirstChild, false, sink); }), 0);
}

TEST_F(DirectoryTest, AnOpenArchiveListsItsVersion) {
  const auto node = kernel_.Node("a.skops");
  fs_.OpenDirectory(node);
  const auto inodes = [&] {
    std::set<ino_t> set;
    for (const auto& item : kernel_.List(node)) set.insert(item.entry.attributes.st_ino);
    return set;
  };
  const auto before = inodes();
  testing::ReplaceFile(folder_ / "a.skops", testing::ArchiveOf("new"));
  EXPECT_EQ(inodes(), before);
  EXPECT_THAT(NamesOf(kernel_.List(node)),
              ElementsAre(".", "..", "arrays", "empty", "schema.json", "by-name"));
  EXPECT_THAT(NamesOf(List("a.skops")), ElementsAre(".", "..", "m"));
}

TEST_F(DirectoryTest, AnOpenFolderThatIsReplaced) {
  const auto node = kernel_.Node("sub");
  fs_.OpenDirectory(node);
  std::filesystem::rename(folder_ / "sub", folder_ / "moved");
  std::filesystem::create_directories(folder_ / "sub");
  EXPECT_EQ(ErrnoOf([&] { kernel_.List(node); }), ESTALE);
}

// --- many ---

TEST_F(DirectoryTest, ManyMembersAndArchives) {
  constexpr size_t kMany = 3000;
  testing::ArchiveBuilder builder;
  for (size_t i = 0; i < kMany; ++i) builder.Add({.name = "d/" + std::to_string(i)});
  builder.WriteTo(folder_ / "sub/many.skops");
  std::filesystem::create_directories(folder_ / "many");
  for (size_t i = 0; i < kMany; ++i) {
    testing::WriteFile(folder_ / ("many/" + std::to_string(i) + ".skops"), "");
  }
  for (const auto* path : {"sub/many.skops/d", "many"}) {
    const auto items = List(path, true, 100);
    std::set<std::string> names;
    std::set<ino_t> inodes;
    for (const auto& item : items) {
      names.insert(item.name);
      inodes.insert(item.entry.attributes.st_ino);
    }
    EXPECT_EQ(items.size(), kMany + 2);
    EXPECT_EQ(names.size(), kMany + 2) << "some came twice";
    EXPECT_EQ(inodes.size(), kMany + 2);
  }
  kernel_.ForgetAll();
  EXPECT_EQ(fs_.catalog().slots().All().size(), 1U);
}

}  // namespace
}  // namespace skopsfs::fs
