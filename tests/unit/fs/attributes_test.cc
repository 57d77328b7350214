#include "fs/attributes.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "handover/node_id.h"
#include "support/archive_builder.h"
#include "support/memory_source.h"
#include "support/open_archive.h"
#include "support/slot_peer.h"
#include "zip/format.h"

namespace skopsfs::fs {
namespace {

using testing::ArchiveBuilder;

// 2020-05-17 13:14:16 as DOS has it.
constexpr uint16_t kDosDate = (40 << 9) | (5 << 5) | 17;
constexpr uint16_t kDosTime = (13 << 11) | (14 << 5) | 8;

class AttributesTest : public ::testing::Test {
 protected:
  AttributesTest() {
    st_.st_mode = S_IFREG | 0644;
    st_.st_uid = 12;
    st_.st_gid = 34;
    st_.st_dev = 5;
    st_.st_ino = 6;
    st_.st_size = 1000;
    st_.st_mtim = {.tv_sec = 1000, .tv_nsec = 1};
    st_.st_ctim = {.tv_sec = 2000, .tv_nsec = 2};
  }

  void Index(ArchiveBuilder& builder) {
    source_ = std::make_unique<testing::MemorySource>(builder.Build());
    index_ = std::make_unique<archive::ArchiveIndex>(*source_, "a.skops");
  }
  struct stat Of(const std::string& path) const {
    return MemberAttributes(*Slot(), *index_, testing::FindNode(*index_, path));
  }

  // As it is known now.
  std::shared_ptr<catalog::Slot> Slot() const { return slots_.Make(path_, st_); }

  mutable catalog::SlotMaker slots_;
  std::string path_ = "dir/a.skops";
  struct stat st_ {};
  std::unique_ptr<testing::MemorySource> source_;
  std::unique_ptr<archive::ArchiveIndex> index_;
};

TEST_F(AttributesTest, Modes) {
  ArchiveBuilder builder;
  builder.Add({.name = "m", .data = "x"}).Add({.name = "d/m", .data = "x"}).Add({.name = "e/"});
  Index(builder);
  struct Case {
    mode_t archive, member, directory;
  };
  // Never more than the archive's own read bits; a directory can be entered by who can read it.
  for (const auto& c : std::vector<Case>{{0644, 0444, 0555},
                                         {0600, 0400, 0500},
                                         {0440, 0440, 0550},
                                         {0000, 0000, 0000},
                                         {0777, 0444, 0555},
                                         {0004, 0004, 0005},
                                         {0333, 0000, 0000},
                                         {07755, 0444, 0555}}) {
    st_.st_mode = S_IFREG | c.archive;
    SCOPED_TRACE(::testing::Message() << std::oct << c.archive);
    EXPECT_EQ(Of("m").st_mode, S_IFREG | c.member);
    EXPECT_EQ(Of("d/m").st_mode, S_IFREG | c.member);
    EXPECT_EQ(Of("d").st_mode, S_IFDIR | c.directory);
    EXPECT_EQ(Of("e").st_mode, S_IFDIR | c.directory);
    EXPECT_EQ(SourceAttributes(path_, st_).st_mode, S_IFDIR | c.directory);
  }
}

TEST_F(AttributesTest, FoldersKeepTheirOwnMode) {
  struct stat st = st_;
  for (const mode_t mode : {0755U, 0700U, 01777U, 02750U, 0000U}) {
    st.st_mode = S_IFDIR | mode;
    st.st_nlink = 7;
    EXPECT_EQ(SourceAttributes("dir", st).st_mode, S_IFDIR | mode);
    EXPECT_EQ(SourceAttributes("dir", st).st_nlink, 1U) << "its archives are directories, too";
  }
}

TEST_F(AttributesTest, OwnersAndLinks) {
  ArchiveBuilder builder;
  builder.Add({.name = "d/m", .data = "x"}).Add({.name = "d/e/m"}).Add({.name = "d/f/"});
  Index(builder);
  for (const auto& st : {Of("d/m"), Of("d"), SourceAttributes(path_, st_)}) {
    EXPECT_EQ(st.st_uid, 12U);
    EXPECT_EQ(st.st_gid, 34U);
    EXPECT_EQ(st.st_ctim.tv_sec, 2000);
    EXPECT_GT(st.st_blksize, 0);
  }
  EXPECT_EQ(Of("d/m").st_nlink, 1U);
  EXPECT_EQ(Of("d").st_nlink, 4U);
  EXPECT_EQ(Of("d/e").st_nlink, 2U);
  // An archive is opened by who looks into it, and by-name is read by who looks into that.
  EXPECT_EQ(SourceAttributes(path_, st_).st_nlink, 1U);
  EXPECT_EQ(NameFolderAttributes(*Slot(), handover::NodeId::kFirstName).st_nlink, 1U);
}

TEST_F(AttributesTest, SizesAndBlocks) {
  const std::string zeros(100'000, '\0');
  ArchiveBuilder builder;
  builder.Add({.name = "empty"})
      .Add({.name = "one", .data = "x"})
      .Add({.name = "512", .data = std::string(512, 'x')})
      .Add({.name = "513", .data = std::string(513, 'x')})
      .Add({.name = "deflated", .data = zeros, .method = zip::kMethodDeflated});
  Index(builder);
  EXPECT_EQ(Of("empty").st_size, 0);
  EXPECT_EQ(Of("empty").st_blocks, 0);
  EXPECT_EQ(Of("one").st_size, 1);
  EXPECT_EQ(Of("one").st_blocks, 1);
  EXPECT_EQ(Of("512").st_blocks, 1);
  EXPECT_EQ(Of("513").st_blocks, 2);
  EXPECT_EQ(Of("deflated").st_size, 100'000);
  EXPECT_EQ(static_cast<size_t>(Of("deflated").st_blocks),
            (testing::Deflate(zeros).size() + 511) / 512);
}

// What no decoder makes of the bytes that there are, nor a file holds.
TEST_F(AttributesTest, SizesThatCannotBe) {
  const auto claim = [](const char* name, uint16_t method, uint64_t size, uint64_t compressed) {
    return testing::Member{.name = name,
                           .method = method,
                           .compressed = std::string(700, 'x'),
                           .central = {.compressed_size = UINT32_MAX,
                                       .size = UINT32_MAX,
                                       .zip64_extra = testing::Zip64Extra({size, compressed})}};
  };
  constexpr uint64_t kHuge = uint64_t{1} << 62;
  ArchiveBuilder builder;
  builder.Add(claim("deflated", zip::kMethodDeflated, kHuge, 700))
      .Add(claim("stored", zip::kMethodStored, kHuge, 700))
      .Add(claim("both", zip::kMethodStored, kHuge, kHuge))
      .Add(claim("most", zip::kMethodBzip2, UINT64_MAX, UINT64_MAX));
  Index(builder);
  for (const char* name : {"deflated", "stored"}) {
    EXPECT_EQ(Of(name).st_size, 700) << name;
    EXPECT_EQ(Of(name).st_blocks, 2) << name;
  }
  for (const char* name : {"both", "most"}) {
    EXPECT_GE(Of(name).st_size, 700) << name;
    EXPECT_LT(Of(name).st_size, 720) << name;
    EXPECT_EQ(Of(name).st_blocks, 2) << name;
  }
}

TEST_F(AttributesTest, TimesAreTheMembers) {
  ArchiveBuilder builder;
  builder
      .Add({.name = "dos",
            .data = "x",
            .local = {.time = kDosTime, .date = kDosDate},
            .central = {.time = kDosTime, .date = kDosDate}})
      .Add({.name = "unix",
            .data = "x",
            .central = {.time = kDosTime,
                        .date = kDosDate,
                        .extra = testing::TimestampExtra(1234567890)}})
      .Add({.name = "before_1970",
            .data = "x",
            .central = {.time = kDosTime, .date = kDosDate, .extra = testing::TimestampExtra(-5)}})
      .Add({.name = "explicit/", .central = {.extra = testing::TimestampExtra(99)}})
      .Add({.name = "implied/m", .data = "x", .central = {.extra = testing::TimestampExtra(7)}});
  Index(builder);
  std::tm tm{.tm_sec = 16,
             .tm_min = 14,
             .tm_hour = 13,
             .tm_mday = 17,
             .tm_mon = 4,
             .tm_year = 120,
             .tm_wday = 0,
             .tm_yday = 0,
             .tm_isdst = -1,
             .tm_gmtoff = 0,
             .tm_zone = nullptr};
  EXPECT_EQ(Of("dos").st_mtim.tv_sec, std::mktime(&tm)) << "local time, as unzip takes it";
  EXPECT_EQ(Of("unix").st_mtim.tv_sec, 1234567890);
  EXPECT_EQ(Of("unix").st_mtim.tv_nsec, 0);
  EXPECT_EQ(Of("before_1970").st_mtim.tv_sec, Of("dos").st_mtim.tv_sec);
  EXPECT_EQ(Of("explicit").st_mtim.tv_sec, 99);
  // What no entry says of is as old as the archive.
  EXPECT_EQ(Of("implied").st_mtim.tv_sec, 1000);
  EXPECT_EQ(SourceAttributes(path_, st_).st_mtim.tv_sec, 1000);
  EXPECT_EQ(SourceAttributes(path_, st_).st_mtim.tv_nsec, 1);
}

TEST_F(AttributesTest, InodeNumbersAreOfTheVersion) {
  ArchiveBuilder builder;
  builder.Add({.name = "a", .data = "x"}).Add({.name = "b", .data = "x"});
  Index(builder);
  std::set<ino_t> seen;
  const auto add_all = [&](const char* what) {
    for (const auto& st : {Of("a"), Of("b"), SourceAttributes(path_, st_)}) {
      EXPECT_TRUE(seen.insert(st.st_ino).second) << what;
      EXPECT_GT(st.st_ino, 1U);
    }
  };
  add_all("at first");
  EXPECT_TRUE(seen.contains(Of("a").st_ino)) << "asked twice, the same answer";
  st_.st_ino = 7;
  add_all("another inode");
  st_.st_dev = 7;
  add_all("another device");
  st_.st_size = 7;
  add_all("another size");
  st_.st_mtim.tv_nsec = 7;
  add_all("another modification time");
  st_.st_ctim.tv_nsec = 7;
  add_all("another change time");
  path_ = "dir/b.skops";  // the same file by another name is another tree of files
  add_all("another path");
  const size_t before = seen.size();
  st_.st_mode = S_IFREG | 0600;
  st_.st_nlink = 3;
  seen.insert(Of("a").st_ino);
  EXPECT_EQ(seen.size(), before) << "what is no part of the identity";
}

TEST_F(AttributesTest, InodeNumberOfAFolderStaysWhileItsContentsChange) {
  struct stat st = st_;
  st.st_mode = S_IFDIR | 0755;
  const ino_t before = SourceAttributes("dir", st).st_ino;
  st.st_mtim.tv_sec = 1;
  st.st_ctim.tv_sec = 1;
  st.st_size = 1;
  EXPECT_EQ(SourceAttributes("dir", st).st_ino, before);
  st.st_ino = 99;
  EXPECT_NE(SourceAttributes("dir", st).st_ino, before);
}

}  // namespace
}  // namespace skopsfs::fs
