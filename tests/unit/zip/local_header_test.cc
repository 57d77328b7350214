#include "zip/local_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "support/archive_builder.h"
#include "support/errors.h"
#include "support/memory_source.h"
#include "zip/format.h"

namespace skopsfs::zip {
namespace {

using testing::ArchiveBuilder;
using testing::ErrnoOf;
using testing::FailureOf;
using ::testing::HasSubstr;
using testing::Member;
using testing::MemorySource;
using testing::Zip64Extra;

uint64_t Locate(const std::string& archive, size_t which = 0) {
  const MemorySource source(archive);
  const auto directory = ReadCentralDirectory(source, FindCentralDirectory(source));
  return LocateData(source, directory, directory.entries.at(which));
}

// The failure to locate `member`, with a healthy one after it that must not be affected.
std::string Failure(Member member) {
  ArchiveBuilder builder;
  builder.Add(std::move(member)).Add({.name = "healthy", .data = "ok"});
  const auto archive = builder.Build();
  EXPECT_EQ(Locate(archive, 1), builder.layout().members[1].data);
  return FailureOf([&] { Locate(archive); });
}

void ExpectLocated(ArchiveBuilder& builder) {
  const auto archive = builder.Build();
  for (size_t i = 0; i < builder.layout().members.size(); ++i) {
    EXPECT_EQ(Locate(archive, i), builder.layout().members[i].data) << i;
  }
}

TEST(LocateData, ValidMembers) {
  ArchiveBuilder builder;
  builder.Add({.name = "a.npy", .data = "hello"})
      .Add({.name = "empty"})
      .Add({.name = "deflated", .data = "hello hello", .method = kMethodDeflated})
      .Add({.name = "zip64", .data = "64", .zip64 = true})
      .Add({.name = "descriptor", .data = "later", .descriptor = true})
      .Add({.name = "ü", .data = "utf-8", .flags = kFlagUtf8})
      .Add({.name = "\x81", .data = "cp437"})
      .Add({.name = "aligned", .data = "x", .local = {.extra = std::string(1000, '\0')}});
  ExpectLocated(builder);
}

TEST(LocateData, WithPrependedData) {
  ArchiveBuilder builder;
  builder.Prepend("#!/bin/sh\n").Add({.name = "a", .data = "hello"}).Add({.name = "b"});
  ExpectLocated(builder);
}

TEST(LocateData, UnknownMethodIsNotItsBusiness) {
  ArchiveBuilder builder;
  builder.Add({.name = "odd", .data = "hello", .method = 4711});
  ExpectLocated(builder);
}

// zipfile goes by the central directory for these.
TEST(LocateData, LocalSizesCrcAndFlagsAreNotCompared) {
  ArchiveBuilder builder;
  builder.Add({.name = "a",
               .data = "hello",
               .local = {.version_needed = 99,
                         .flags = kFlagEncrypted,
                         .crc32 = 1,
                         .compressed_size = 2,
                         .size = 3}});
  ExpectLocated(builder);
}

TEST(LocateData, SameNameInTwoEncodings) {
  ArchiveBuilder builder;
  builder.Add({.name = "ü", .flags = kFlagUtf8, .local = {.flags = 0, .name = "\x81"}});
  ExpectLocated(builder);
}

TEST(LocateData, BadSignature) {
  EXPECT_THAT(Failure({.name = "a", .local = {.signature = 0}}), HasSubstr("5: bad signature"));
}

TEST(LocateData, OffsetPointsElsewhere) {
  EXPECT_THAT(Failure({.name = "a", .data = "hello", .central = {.header_offset = 1}}),
              HasSubstr("5: bad signature"));
  EXPECT_THAT(Failure({.name = "a", .central = {.header_offset = 0xfffffff0}}),
              HasSubstr("5: truncated local header"));
}

TEST(LocateData, OffsetNearTheEndOfTheFile) {
  const auto archive = ArchiveBuilder().Add({.name = "a"}).Build();
  const auto offset = static_cast<uint32_t>(archive.size() - kLocalHeaderSize + 1);
  EXPECT_THAT(Failure({.name = "b", .central = {.header_offset = 1 << 30}}),
              HasSubstr("truncated"));
  EXPECT_THAT(
      FailureOf([&] {
        Locate(ArchiveBuilder().Add({.name = "a", .central = {.header_offset = offset}}).Build());
      }),
      HasSubstr("5: truncated local header"));
}

TEST(LocateData, HeaderBeforeTheFile) {
  ArchiveBuilder builder;
  builder.Add({.name = "a"}).Build();
  builder.End({.directory_offset = static_cast<uint32_t>(builder.layout().directory + 1)});
  EXPECT_THAT(FailureOf([&] { Locate(builder.Build()); }),
              HasSubstr("5: local header lies before"));
}

TEST(LocateData, HugeOffset) {
  const auto extra = Zip64Extra({0, 0, std::numeric_limits<uint64_t>::max()});
  EXPECT_THAT(Failure({.name = "a", .zip64 = true, .central = {.zip64_extra = extra}}),
              HasSubstr("5: truncated local header"));
}

TEST(LocateData, NamesDiffer) {
  EXPECT_THAT(Failure({.name = "a", .local = {.name = "b"}}), HasSubstr("5: names"));
  EXPECT_THAT(Failure({.name = "a", .local = {.name = "A"}}), HasSubstr("5: names"));
  EXPECT_THAT(Failure({.name = "a", .local = {.name = ""}}), HasSubstr("5: names"));
  EXPECT_THAT(Failure({.name = "a", .local = {.name_size = 65535}}), HasSubstr("5: names"));
  // What comes after a NUL is not shown but compared.
  EXPECT_THAT(Failure({.name = std::string("a\0b", 3), .local = {.name = std::string("a\0c", 3)}}),
              HasSubstr("5: names"));
}

TEST(LocateData, LocalNameIsNotUtf8) {
  EXPECT_THAT(Failure({.name = "\x81", .local = {.flags = kFlagUtf8}}), HasSubstr("5: a name"));
}

TEST(LocateData, MethodsDiffer) {
  EXPECT_THAT(Failure({.name = "a", .data = "hello", .local = {.method = kMethodDeflated}}),
              HasSubstr("5: methods"));
}

TEST(LocateData, StoredSizesDiffer) {
  const std::string reason = "5: stored, but its two sizes differ";
  EXPECT_EQ(Failure({.name = "a", .data = "hello", .central = {.size = 4}}), reason);
  EXPECT_EQ(Failure({.name = "a", .data = "hello", .central = {.size = 6}}), reason);
  EXPECT_EQ(Failure({.name = "a", .data = "hello", .central = {.compressed_size = 4}}), reason);
}

TEST(LocateData, DataRunsIntoTheNextHeader) {
  EXPECT_THAT(Failure({.name = "a", .data = "hello", .central = {.compressed_size = 6, .size = 6}}),
              HasSubstr("5: overlaps"));
  EXPECT_THAT(Failure({.name = "a",
                       .data = "hello",
                       .central = {.compressed_size = 0xfffffffe, .size = 0xfffffffe}}),
              HasSubstr("5: overlaps"));
  // The local header itself claims to reach beyond it.
  EXPECT_THAT(Failure({.name = "a", .data = "hello", .local = {.extra_size = 1}}),
              HasSubstr("5: overlaps"));
}

TEST(LocateData, DataRunsIntoTheDirectory) {
  const auto with_size = [](uint32_t size) {
    return FailureOf([&] {
      Locate(ArchiveBuilder()
                 .Add({.name = "a",
                       .data = "hello",
                       .after_data = "12",
                       .central = {.compressed_size = size, .size = size}})
                 .Build());
    });
  };
  EXPECT_EQ(with_size(7), "");
  EXPECT_THAT(with_size(8), HasSubstr("5: overlaps"));
}

TEST(LocateData, SizesNearTheLargestNumber) {
  const uint64_t most = std::numeric_limits<uint64_t>::max();
  const auto sizes = [](uint64_t size, uint64_t compressed) {
    return Member{.name = "a",
                  .method = kMethodDeflated,
                  .zip64 = true,
                  .central = {.zip64_extra = Zip64Extra({size, compressed, 0})}};
  };
  EXPECT_THAT(Failure(sizes(10, most)), HasSubstr("5: overlaps"));
  EXPECT_THAT(Failure(sizes(10, most - 30)), HasSubstr("5: overlaps"));
  EXPECT_THAT(Failure(sizes(most, 0)), HasSubstr("5: larger than a file can be"));
  EXPECT_THAT(Failure(sizes(most / 2 + 1, 0)), HasSubstr("5: larger than a file can be"));
  EXPECT_EQ(Failure(sizes(most / 2, 0)), "");
}

TEST(LocateData, DuplicatesOfOneHeader) {
  ArchiveBuilder builder;
  builder.Add({.name = "a", .data = "hello"});
  builder.Add(
      {.name = "a", .data = "hello", .has_local_header = false, .central = {.header_offset = 0}});
  const auto archive = builder.Build();
  EXPECT_EQ(Locate(archive, 0), builder.layout().members[0].data);
  EXPECT_THAT(FailureOf([&] { Locate(archive, 1); }), HasSubstr("5: overlaps"));
}

TEST(LocateData, MemberInsideTheDataOfAnother) {
  ArchiveBuilder inner;
  const auto quoted = inner.Add({.name = "inner", .data = "quoted"}).Build();
  ArchiveBuilder builder;
  builder.Add({.name = "outer", .data = "...." + quoted});
  builder.Add({.name = "inner",
               .data = "quoted",
               .has_local_header = false,
               .central = {.header_offset = 30 + 5 + 4}});
  const auto archive = builder.Build();
  EXPECT_THAT(FailureOf([&] { Locate(archive, 0); }), HasSubstr("5: overlaps"));
  EXPECT_EQ(archive.substr(Locate(archive, 1), 6), "quoted");
}

TEST(LocateData, Encrypted) {
  EXPECT_EQ(Failure({.name = "a", .data = "hello", .flags = kFlagEncrypted}),
            std::to_string(EACCES) + ": encrypted");
  EXPECT_EQ(Failure({.name = "a", .data = "hello", .flags = kFlagStrongEncryption}),
            std::to_string(EACCES) + ": strongly encrypted");
  // 12 more bytes than the data, as the old encryption has; not a difference of sizes.
  EXPECT_THAT(Failure({.name = "a",
                       .data = "hello",
                       .compressed = std::string(17, 'x'),
                       .flags = kFlagEncrypted}),
              HasSubstr("encrypted"));
}

TEST(LocateData, Patched) {
  EXPECT_EQ(
      ErrnoOf([] { Locate(ArchiveBuilder().Add({.name = "a", .flags = kFlagPatched}).Build()); }),
      EOPNOTSUPP);
}

}  // namespace
}  // namespace skopsfs::zip
