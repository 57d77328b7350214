#include "zip/central_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "support/archive_builder.h"
#include "support/errors.h"
#include "support/memory_source.h"
#include "zip/format.h"

namespace skopsfs::zip {
namespace {

using testing::ArchiveBuilder;
using testing::Crc32;
using ::testing::ElementsAre;
using testing::ErrnoOf;
using testing::FailureOf;
using testing::MemorySource;
using testing::Zip64Extra;

CentralDirectory Read(std::string archive, const Limits& limits = {}) {
  const MemorySource source(std::move(archive));
  return ReadCentralDirectory(source, FindCentralDirectory(source), limits);
}

std::vector<std::string> Names(const CentralDirectory& directory) {
  std::vector<std::string> names;
  for (const auto& entry : directory.entries) names.emplace_back(directory.Name(entry));
  return names;
}

TEST(CentralDirectory, FieldsOfAnEntry) {
  ArchiveBuilder builder;
  const std::string data(1000, 'd');
  builder.Add({.name = "first", .data = "x"});
  builder.Add({.name = "dir/second.npy",
               .data = data,
               .method = kMethodDeflated,
               .flags = 4,
               .central = {.time = 0x1234, .date = 0x5678, .extra = testing::TimestampExtra(77)}});
  builder.Add({.name = "third", .central = {.time = 0x1234, .date = 0x5678}});
  const auto directory = Read(builder.Build());
  ASSERT_EQ(directory.entries.size(), 3U);
  EXPECT_EQ(directory.start, builder.layout().directory);
  const Entry& entry = directory.entries[1];
  const auto& item = builder.layout().members[1];
  EXPECT_EQ(directory.Name(entry), "dir/second.npy");
  EXPECT_EQ(directory.RawName(entry), "dir/second.npy");
  EXPECT_EQ(entry.header_offset, static_cast<int64_t>(item.header));
  EXPECT_EQ(entry.compressed_size, item.end - item.data);
  EXPECT_EQ(entry.size, data.size());
  EXPECT_EQ(entry.crc32, Crc32(data));
  EXPECT_EQ(entry.method, kMethodDeflated);
  EXPECT_EQ(entry.flags, 4);
  EXPECT_TRUE(entry.has_unix_time);
  EXPECT_EQ(entry.modified, 77U);
  EXPECT_FALSE(directory.entries[2].has_unix_time);
  EXPECT_EQ(directory.entries[2].modified, 0x56781234U);
}

TEST(CentralDirectory, KeepsOrderAndDuplicates) {
  const auto directory = Read(ArchiveBuilder()
                                  .Add({.name = "b"})
                                  .Add({.name = "a"})
                                  .Add({.name = "b", .data = "again"})
                                  .Build());
  EXPECT_THAT(Names(directory), ElementsAre("b", "a", "b"));
}

TEST(CentralDirectory, EmptyOne) { EXPECT_TRUE(Read(ArchiveBuilder().Build()).entries.empty()); }

TEST(CentralDirectory, NamesByTheirFlag) {
  const auto directory = Read(ArchiveBuilder()
                                  .Add({.name = "\x81.npy"})
                                  .Add({.name = "ü.npy", .flags = kFlagUtf8})
                                  .Add({.name = std::string("cut\0off.npy", 11)})
                                  .Add({.name = std::string("\0x", 2)})
                                  .Add({.name = ""})
                                  .Build());
  EXPECT_THAT(Names(directory), ElementsAre("ü.npy", "ü.npy", "cut", "", ""));
  EXPECT_EQ(directory.RawName(directory.entries[2]), std::string("cut\0off.npy", 11));
}

TEST(CentralDirectory, NameMarkedAsUtf8ThatIsNot) {
  EXPECT_EQ(
      ErrnoOf([] { Read(ArchiveBuilder().Add({.name = "\x81", .flags = kFlagUtf8}).Build()); }),
      EIO);
}

TEST(CentralDirectory, BadSignature) {
  const auto bad = [](size_t which) {
    ArchiveBuilder builder;
    for (size_t i = 0; i < 3; ++i) {
      builder.Add({.name = "m", .central = {.signature = kCentralHeaderSignature + (i == which)}});
    }
    return ErrnoOf([&] { Read(builder.Build()); });
  };
  EXPECT_EQ(bad(0), EIO);
  EXPECT_EQ(bad(2), EIO);
  EXPECT_EQ(bad(3), 0);
}

TEST(CentralDirectory, VersionNeeded) {
  const auto with = [](uint16_t version) {
    return ErrnoOf([&] {
      Read(ArchiveBuilder().Add({.name = "m", .central = {.version_needed = version}}).Build());
    });
  };
  EXPECT_EQ(with(0), 0);
  EXPECT_EQ(with(63), 0);
  EXPECT_EQ(with(64), EIO);
  EXPECT_EQ(with(255), EIO);
  EXPECT_EQ(with(0xff00 | 20), 0);  // the upper half is not part of the version
}

TEST(CentralDirectory, CorruptExtraFieldFailsTheArchive) {
  ArchiveBuilder builder;
  builder.Add({.name = "fine"});
  builder.Add({.name = "bad", .central = {.extra = std::string("\1\0\4\0ab", 6)}});
  EXPECT_EQ(ErrnoOf([&] { Read(builder.Build()); }), EIO);
}

TEST(CentralDirectory, Zip64SizesAndOffset) {
  ArchiveBuilder builder;
  builder.Add({.name = "pad", .data = "12345"}).Add({.name = "m", .data = "abc", .zip64 = true});
  const auto directory = Read(builder.Build());
  EXPECT_EQ(directory.entries[1].size, 3U);
  EXPECT_EQ(directory.entries[1].compressed_size, 3U);
  EXPECT_EQ(directory.entries[1].header_offset,
            static_cast<int64_t>(builder.layout().members[1].header));
}

TEST(CentralDirectory, OffsetsPastAnyFileStayPastIt) {
  ArchiveBuilder builder;
  const uint64_t huge = std::numeric_limits<uint64_t>::max();
  builder.Add({.name = "m", .zip64 = true, .central = {.zip64_extra = Zip64Extra({0, 0, huge})}});
  EXPECT_EQ(Read(builder.Build()).entries[0].header_offset, std::numeric_limits<int64_t>::max());
}

TEST(CentralDirectory, PrependedDataIsAddedToOffsets) {
  ArchiveBuilder builder;
  builder.Prepend(std::string(321, 'p')).Add({.name = "a"}).Add({.name = "b"});
  const auto directory = Read(builder.Build());
  EXPECT_EQ(directory.start, builder.layout().directory);
  EXPECT_EQ(directory.entries[0].header_offset, 321);
  EXPECT_EQ(directory.entries[1].header_offset,
            static_cast<int64_t>(builder.layout().members[1].header));
}

TEST(CentralDirectory, NegativeShiftPutsHeadersBeforeTheFile) {
  ArchiveBuilder builder;
  builder.Add({.name = "a", .data = "aaaa"}).Add({.name = "b"}).Build();
  // The end record claims a start that is as much too late as the second header's offset.
  const auto offset = builder.layout().members[1].header;
  builder.End({.directory_offset = static_cast<uint32_t>(builder.layout().directory + offset)});
  const auto directory = Read(builder.Build());
  EXPECT_EQ(directory.entries[0].header_offset, -1);
  EXPECT_EQ(directory.entries[1].header_offset, 0);
}

// --- a directory that ends within a record ---

ArchiveBuilder CutBy(uint32_t bytes) {
  ArchiveBuilder builder;
  builder.Add({.name = "first"})
      .Add({.name = "name", .central = {.extra = testing::ExtraField(9, "xx"), .comment = "tail"}});
  builder.Build();
  const auto size = builder.layout().directory_end - builder.layout().directory;
  // What is cut off stays in the file but is no longer counted, nor in front of the end record.
  builder.End({.directory_size = static_cast<uint32_t>(size - bytes)});
  return builder;
}

// The archive with its last `bytes` of the directory removed and the end record true to that.
std::string WithoutTail(uint32_t bytes) {
  auto builder = CutBy(bytes);
  std::string archive = builder.Build();
  archive.erase(builder.layout().directory_end - bytes, bytes);
  return archive;
}

TEST(CentralDirectory, TruncatedTailIsTakenAsZipfileDoes) {
  // comment 4, extra 6, name 4, header 46
  for (uint32_t bytes = 0; bytes <= 4; ++bytes) {
    EXPECT_THAT(Names(Read(WithoutTail(bytes))), ElementsAre("first", "name")) << bytes;
  }
  for (uint32_t bytes = 5; bytes <= 6; ++bytes) {  // its extra field lacks data
    EXPECT_EQ(ErrnoOf([&] { Read(WithoutTail(bytes)); }), EIO) << bytes;
  }
  for (uint32_t bytes = 7; bytes <= 10; ++bytes) {  // less than the head of one is no extra field
    EXPECT_THAT(Names(Read(WithoutTail(bytes))), ElementsAre("first", "name")) << bytes;
  }
  EXPECT_THAT(Names(Read(WithoutTail(11))), ElementsAre("first", "nam"));
  EXPECT_THAT(Names(Read(WithoutTail(14))), ElementsAre("first", ""));
  for (uint32_t bytes = 15; bytes < 60; ++bytes) {
    EXPECT_EQ(ErrnoOf([&] { Read(WithoutTail(bytes)); }), EIO) << bytes;
  }
  EXPECT_THAT(Names(Read(WithoutTail(60))), ElementsAre("first"));
}

TEST(CentralDirectory, NameThatClaimsMoreThanThereIs) {
  ArchiveBuilder builder;
  builder.Add({.name = "m", .central = {.name_size = 65535}});
  EXPECT_THAT(Names(Read(builder.Build())), ElementsAre("m"));
}

TEST(CentralDirectory, CommentThatSwallowsTheNextRecord) {
  ArchiveBuilder builder;
  builder.Add({.name = "a", .central = {.comment_size = 47}}).Add({.name = "b"});
  EXPECT_THAT(Names(Read(builder.Build())), ElementsAre("a"));
}

TEST(CentralDirectory, JunkAfterTheLastRecord) {
  ArchiveBuilder builder;
  builder.Add({.name = "a"}).AfterDirectory("junk").Build();
  const auto size = builder.layout().directory_end - builder.layout().directory;
  builder.End({.directory_size = static_cast<uint32_t>(size + 4)});
  EXPECT_EQ(ErrnoOf([&] { Read(builder.Build()); }), EIO);
}

TEST(CentralDirectory, LongRecordsCrossReadAheadBlocks) {
  ArchiveBuilder builder;
  std::vector<std::string> names;
  for (int i = 0; i < 12; ++i) {
    names.push_back(std::string(65000, static_cast<char>('a' + i)));
    builder.Add({.name = names.back(),
                 .central = {.extra = testing::ExtraField(9, std::string(60000, 'e')),
                             .comment = std::string(65535, 'c')}});
  }
  EXPECT_EQ(Names(Read(builder.Build())), names);
}

// --- limits ---

TEST(CentralDirectoryLimits, Entries) {
  const auto archive = ArchiveBuilder().Add({.name = "a"}).Add({.name = "b"}).Build();
  EXPECT_EQ(Read(archive, {.entries = 2}).entries.size(), 2U);
  EXPECT_EQ(ErrnoOf([&] { Read(archive, {.entries = 1}); }), EFBIG);
}

TEST(CentralDirectoryLimits, Names) {
  // 3 + 2 bytes of UTF-8; the second name is one byte of code page 437.
  const auto archive = ArchiveBuilder().Add({.name = "abc"}).Add({.name = "\x81"}).Build();
  EXPECT_EQ(Read(archive, {.name_bytes = 5}).names, "abcü");
  EXPECT_EQ(ErrnoOf([&] { Read(archive, {.name_bytes = 4}); }), EFBIG);
}

TEST(CentralDirectoryLimits, Size) {
  const auto archive = ArchiveBuilder().Add({.name = "abc"}).Build();
  EXPECT_EQ(ErrnoOf([&] { Read(archive, {.central_directory_bytes = 48}); }), EFBIG);
  EXPECT_EQ(ErrnoOf([&] { Read(archive, {.central_directory_bytes = 49}); }), 0);
}

// --- data limits ---

std::vector<uint64_t> DataLimits(const std::string& archive) {
  std::vector<uint64_t> limits;
  const auto directory = Read(archive);
  for (const auto& entry : directory.entries) limits.push_back(directory.DataLimit(entry));
  return limits;
}

TEST(DataLimits, NextHeaderOrDirectory) {
  ArchiveBuilder builder;
  builder.Add({.name = "a", .data = "12"}).Add({.name = "b"}).Add({.name = "c", .data = "345"});
  const auto archive = builder.Build();
  const auto& layout = builder.layout();
  EXPECT_THAT(DataLimits(archive),
              ElementsAre(layout.members[1].header, layout.members[2].header, layout.directory));
}

TEST(DataLimits, OrderOfTheDirectoryDoesNotMatter) {
  ArchiveBuilder builder;
  builder.Add({.name = "last", .data = "zz", .at = 500}).Add({.name = "first", .at = 0});
  const auto archive = builder.Build();
  EXPECT_THAT(DataLimits(archive), ElementsAre(builder.layout().directory, 500));
}

TEST(DataLimits, SharedHeaderLeavesRoomForTheFirstOnly) {
  ArchiveBuilder builder;
  builder.Add({.name = "a", .data = "12"}).Add({.name = "pad", .data = "3"});
  builder.Add({.name = "a", .has_local_header = false, .central = {.header_offset = 0}});
  builder.Add({.name = "b", .has_local_header = false, .central = {.header_offset = 0}});
  const auto archive = builder.Build();
  EXPECT_THAT(DataLimits(archive),
              ElementsAre(builder.layout().members[1].header, builder.layout().directory, 0, 0));
}

// zipfile would let the data of "a" run past the start of the directory.
TEST(DataLimits, HeaderPastTheDirectoryDoesNotRaiseThem) {
  ArchiveBuilder builder;
  builder.Add({.name = "a", .data = "12"});
  builder.Add({.name = "b", .has_local_header = false, .central = {.header_offset = 1 << 20}});
  const auto archive = builder.Build();
  EXPECT_THAT(DataLimits(archive),
              ElementsAre(builder.layout().directory, builder.layout().directory));
}

TEST(CentralDirectory, FileThatShrinksWhileItIsRead) {
  class Shrinking : public MemorySource {
   public:
    using MemorySource::MemorySource;
    size_t ReadAt(uint64_t offset, std::span<std::byte> out) const override {
      if (out.empty()) return 0;
      return MemorySource::ReadAt(offset, out) - 1;
    }
  };
  const Shrinking source(ArchiveBuilder().Add({.name = "a"}).Build());
  EXPECT_EQ(FailureOf([&] { ReadCentralDirectory(source, {.start = 31, .size = 47}); }),
            "5: the archive became shorter while it was read");
}

}  // namespace
}  // namespace skopsfs::zip
