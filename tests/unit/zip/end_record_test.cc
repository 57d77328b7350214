#include "zip/end_record.h"

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
using testing::LittleEndian;
using testing::MemorySource;

const std::string kSignature = "PK\5\6";

DirectoryLocation Find(std::string archive) {
  return FindCentralDirectory(MemorySource(std::move(archive)));
}

ArchiveBuilder OneMember() {
  ArchiveBuilder builder;
  builder.Add({.name = "a.npy", .data = "hello"});
  return builder;
}

void ExpectFound(ArchiveBuilder& builder, int64_t shift = 0) {
  const auto location = Find(builder.Build());
  EXPECT_EQ(location.start, builder.layout().directory);
  EXPECT_EQ(location.size, builder.layout().directory_end - builder.layout().directory);
  EXPECT_EQ(static_cast<int64_t>(location.shift), shift);
}

void ExpectNone(const std::string& archive) {
  EXPECT_EQ(ErrnoOf([&] { Find(archive); }), EIO);
}

TEST(EndRecord, PlainArchive) {
  auto builder = OneMember();
  ExpectFound(builder);
}

TEST(EndRecord, EmptyArchive) {
  ArchiveBuilder builder;
  ExpectFound(builder);
  EXPECT_EQ(Find(builder.Build()).size, 0U);
}

TEST(EndRecord, NoArchive) {
  ExpectNone("");
  ExpectNone("PK");
  ExpectNone(std::string(21, 'x'));
  ExpectNone(std::string(22, 'x'));
  ExpectNone(std::string(200'000, 'x'));
  ExpectNone(std::string(200'000, '\0'));
}

// What people put in the place of an archive, and are told that it is.
TEST(EndRecord, OtherFiles) {
  const auto reason = [](const std::string& bytes) {
    return testing::FailureOf([&] { Find(bytes); })
        .substr(std::string("5: not a ZIP archive: ").size());
  };
  const std::string lfs =
      "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n";
  EXPECT_EQ(reason(""), "it is empty");
  EXPECT_EQ(reason(lfs), "a Git LFS pointer; run git lfs pull in its folder");
  EXPECT_EQ(reason("\x1f\x8b\x08 packed"), "packed with gzip");
  EXPECT_EQ(reason("\x80\x04\x95 a model"), "a pickle, not written by skops.io");
  for (const char* page :
       {"<!DOCTYPE html>\n<html>", "\xef\xbb\xbf\n <!doctype HTML>", "<HTML lang=en>"}) {
    EXPECT_EQ(reason(page), "a page of HTML, perhaps an error or a log-in page") << page;
  }
  EXPECT_EQ(reason("PK\3\4 the rest is missing"),
            "it looks cut off, as by an incomplete upload or copy");
  const std::string none = "no end of central directory record";
  for (const char* bytes : {"version https://git-lfs", "\x1f", "\x80", "\x80\x06", "\x80x", "<",
                            "<htm", "\n", "<!doctype htm", "PK\3", "text"}) {
    EXPECT_EQ(reason(bytes), none) << bytes;
  }
  EXPECT_EQ(reason(std::string(100'000, '\0')), none);
  // One with such bytes before it is an archive all the same.
  auto builder = OneMember();
  ExpectFound(builder.Prepend(lfs), static_cast<int64_t>(lfs.size()));
}

TEST(EndRecord, EveryTruncationIsAnError) {
  const std::string archive = OneMember().Build();
  for (size_t size = 0; size < archive.size(); ++size) ExpectNone(archive.substr(0, size));
}

TEST(EndRecord, CommentOfAnyLength) {
  for (const size_t size : {1, 3, 4, 21, 22, 23, 1000, 65535}) {
    auto builder = OneMember();
    builder.Comment(std::string(size, 'c'));
    ExpectFound(builder);
  }
}

TEST(EndRecord, CommentLengthIsNotChecked) {
  auto builder = OneMember();
  builder.Comment("short").End({.comment_size = 500});
  ExpectFound(builder);
  auto other = OneMember();
  other.Comment("longer than it says").End({.comment_size = 1});
  ExpectFound(other);
}

TEST(EndRecord, TrailingJunkUpToTheEdgeOfTheSearch) {
  auto at_edge = OneMember();
  at_edge.Trailing(std::string(65536, 'j'));
  ExpectFound(at_edge);
  ExpectNone(OneMember().Trailing(std::string(65537, 'j')).Build());
}

// The record at the very end counts only with an empty comment; one found by the search may lie
// there as well.
TEST(EndRecord, AtTheEndWithAClaimedComment) {
  auto builder = OneMember();
  builder.End({.comment_size = 7});
  ExpectFound(builder);
}

TEST(EndRecord, LastSignatureWins) {
  // A whole second record in the comment, for an empty directory that ends where it begins.
  auto builder = OneMember();
  const std::string inner = ArchiveBuilder().Build();
  builder.Comment("see: " + inner + "!");
  const std::string archive = builder.Build();
  const auto location = Find(archive);
  EXPECT_EQ(location.size, 0U);
  EXPECT_EQ(location.start, archive.find(inner, builder.layout().end_record + 1));
}

TEST(EndRecord, SignatureInTheCommentWithTooLittleAfterIt) {
  // zipfile looks at the last signature only, and gives up when the record is cut.
  ExpectNone(OneMember().Comment("x" + kSignature).Build());
  ExpectNone(OneMember().Comment(kSignature + std::string(17, 'x')).Build());
}

TEST(EndRecord, RecordAtTheEndBeatsTheSearch) {
  // The last 22 bytes are a record with no comment, although its bytes hold a later signature.
  auto builder = OneMember();
  builder.End({.disk = 0x4b50, .directory_disk = 0x0605});
  ExpectFound(builder);
}

TEST(EndRecord, PrependedDataShiftsOffsets) {
  for (const size_t size : {1, 22, 1000, 100'000}) {
    auto builder = OneMember();
    builder.Prepend(std::string(size, 'p'));
    ExpectFound(builder, static_cast<int64_t>(size));
  }
}

TEST(EndRecord, WrongOffsetMakesTheShiftNegative) {
  auto builder = OneMember();
  const std::string archive = builder.End({.directory_offset = 0xffffffff}).Build();
  const auto location = Find(archive);
  EXPECT_EQ(location.start, builder.layout().directory);
  EXPECT_EQ(static_cast<int64_t>(location.shift),
            static_cast<int64_t>(builder.layout().directory) - 0xffffffffLL);
}

TEST(EndRecord, DirectoryLargerThanWhatLiesBefore) {
  auto builder = OneMember();
  builder.Build();
  const auto room = static_cast<uint32_t>(builder.layout().end_record);
  EXPECT_EQ(Find(builder.End({.directory_size = room}).Build()).start, 0U);
  ExpectNone(builder.End({.directory_size = room + 1}).Build());
  ExpectNone(builder.End({.directory_size = 0xffffffff}).Build());
}

TEST(EndRecord, DiskNumbersAndCountsAreNotChecked) {
  auto builder = OneMember();
  builder.End({.disk = 3, .directory_disk = 2, .entries_here = 77, .entries = 99});
  ExpectFound(builder);
}

TEST(Zip64EndRecord, ReplacesTheEndRecord) {
  auto builder = OneMember();
  builder.Zip64End().End({.directory_size = 0xffffffff, .directory_offset = 0xffffffff});
  ExpectFound(builder);
  // Also when the end record has no placeholders.
  builder.End({.directory_size = 1, .directory_offset = 2});
  ExpectFound(builder);
}

TEST(Zip64EndRecord, WithPrependedDataAndComment) {
  auto builder = OneMember();
  builder.Prepend(std::string(333, 'p')).Comment("with a comment").Zip64End();
  ExpectFound(builder, 333);
}

// The locator, the record and the directory must agree, since zipfile's fix of CVE-2025-8291.
TEST(Zip64EndRecord, LocatorThatSaysAnotherPlace) {
  auto builder = OneMember();
  builder.Zip64End().Build();
  const uint64_t place = builder.layout().zip64_end_record;
  ExpectFound(builder.Zip64End({.locator_offset = place}));
  ExpectNone(builder.Zip64End({.locator_offset = place - 1}).Build());
  ExpectNone(builder.Zip64End({.locator_offset = place + 1}).Build());
  ExpectNone(builder.Zip64End({.locator_offset = 0}).Build());
  ExpectNone(builder.Zip64End({.locator_offset = ~uint64_t{0}}).Build());
}

TEST(Zip64EndRecord, SeveralDisks) {
  ExpectNone(OneMember().Zip64End({.locator_disk = 1}).Build());
  ExpectNone(OneMember().Zip64End({.locator_disks = 2}).Build());
  auto none = OneMember();
  none.Zip64End({.locator_disks = 0});
  ExpectFound(none);
  auto inside = OneMember();
  inside.Zip64End({.disk = 5, .directory_disk = 6});  // zipfile does not look at these
  ExpectFound(inside);
}

TEST(Zip64EndRecord, LocatorWithoutRecord) {
  ExpectNone(OneMember().Zip64End({.signature = 0}).Build());
}

TEST(Zip64EndRecord, ExtensibleData) {
  auto builder = OneMember();
  ExpectFound(builder.Zip64End({.record_size = 44 + 10, .extensible_data = "0123456789"}));
  ExpectNone(builder.Zip64End({.record_size = 44, .extensible_data = "0123456789"}).Build());
  ExpectNone(builder.Zip64End({.record_size = 45}).Build());
  ExpectNone(builder.Zip64End({.record_size = ~uint64_t{0} - 11}).Build());  // 44 in 64 bits
}

TEST(Zip64EndRecord, NoRoomBeforeTheLocator) {
  const std::string tail = ArchiveBuilder().Zip64End({.has_record = false}).Build();
  ExpectNone(tail);
  ExpectNone(std::string(55, '\0') + tail);
  ExpectNone(std::string(56, '\0') + tail);
}

TEST(Zip64EndRecord, LocatorOfAnotherKindIsIgnored) {
  auto builder = OneMember();
  builder.Zip64End({.locator_signature = 0, .has_record = false});
  const auto location = Find(builder.Build());
  EXPECT_EQ(location.start, builder.layout().directory + kZip64LocatorSize);
}

TEST(Zip64EndRecord, HugeDirectory) {
  const uint64_t huge = std::numeric_limits<uint64_t>::max();
  ExpectNone(OneMember().Zip64End({.directory_size = huge}).Build());
  ExpectNone(OneMember().Zip64End({.directory_offset = huge}).Build());
  ExpectNone(OneMember().Zip64End({.directory_size = huge, .directory_offset = huge}).Build());
  // Right in 64 bits, but not as numbers.
  auto builder = OneMember();
  builder.Zip64End().Build();
  const uint64_t end = builder.layout().zip64_end_record;
  ExpectNone(builder.Zip64End({.directory_size = end + 1, .directory_offset = huge}).Build());
}

}  // namespace
}  // namespace skopsfs::zip
