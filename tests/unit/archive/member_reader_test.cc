#include "archive/member_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "support/archive_builder.h"
#include "support/errors.h"
#include "support/file_changes.h"
#include "support/open_archive.h"
#include "support/samples.h"
#include "support/temp_folder.h"
#include "util/unique_fd.h"
#include "zip/format.h"

namespace skopsfs::archive {
namespace {

using testing::ArchiveBuilder;
using testing::ErrnoOf;
using testing::FailureOf;
using testing::ReadSome;

// An archive in a file, opened, with a reader for each member asked for.
class MemberReaderTest : public ::testing::Test {
 protected:
  void Write(ArchiveBuilder& builder) {
    builder.WriteTo(path_);
    layout_ = builder.layout();
    file_ = testing::OpenArchiveFile(path_);
    index_ = std::make_unique<ArchiveIndex>(*file_, path_);
    testing::WaitForNewTime(path_);
  }
  void Write() {
    ArchiveBuilder builder;
    builder.Add({.name = "stored", .data = noise_})
        .Add({.name = "deflated", .data = lines_, .method = zip::kMethodDeflated});
    Write(builder);
  }
  std::unique_ptr<MemberReader> Open(const std::string& name) {
    return std::make_unique<MemberReader>(file_, testing::FindExtent(*file_, *index_, name), pool_);
  }
  void ExpectAllRight(MemberReader& stored, MemberReader& deflated) {
    EXPECT_TRUE(ReadSome(stored, 0, noise_.size()) == noise_);
    EXPECT_TRUE(ReadSome(deflated, 0, lines_.size()) == lines_);
  }
  void ExpectFails(MemberReader& reader) {
    EXPECT_EQ(ErrnoOf([&] { ReadSome(reader, 0, 10); }), EIO);
    EXPECT_EQ(ErrnoOf([&] { ReadSome(reader, 5000, 10); }), EIO);
  }

  const std::string noise_ = testing::Noise(100'000);
  const std::string lines_ = testing::SampleLines();
  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "a.skops";
  testing::Layout layout_;
  std::shared_ptr<const ArchiveFile> file_;
  std::unique_ptr<ArchiveIndex> index_;
  DecoderPool pool_{size_t{3} << 20};  // two decoders
};

TEST_F(MemberReaderTest, ReadsRangesAndStopsAtTheEnd) {
  Write();
  for (const auto& [name, data] : {std::pair("stored", noise_), std::pair("deflated", lines_)}) {
    const auto reader = Open(name);
    EXPECT_TRUE(ReadSome(*reader, 0, data.size() + 100) == data);
    EXPECT_EQ(ReadSome(*reader, 1234, 567), data.substr(1234, 567));
    EXPECT_EQ(ReadSome(*reader, data.size() - 5, 100), data.substr(data.size() - 5));
    EXPECT_EQ(ReadSome(*reader, data.size(), 1), "");
    EXPECT_EQ(ReadSome(*reader, UINT64_MAX, 1), "");
    EXPECT_EQ(ReadSome(*reader, 7, 0), "");
  }
}

TEST_F(MemberReaderTest, EmptyMembers) {
  ArchiveBuilder builder;
  builder.Add({.name = "stored"}).Add({.name = "deflated", .method = zip::kMethodDeflated});
  Write(builder);
  EXPECT_EQ(ReadSome(*Open("stored"), 0, 10), "");
  EXPECT_EQ(ReadSome(*Open("deflated"), 0, 10), "");
}

TEST_F(MemberReaderTest, ManyThreadsManyMembersFewDecoders) {
  ArchiveBuilder builder;
  for (int i = 0; i < 5; ++i) {
    builder.Add({.name = std::to_string(i),
                 .data = lines_.substr(static_cast<size_t>(i) * 7),
                 .method = zip::kMethodDeflated});
  }
  Write(builder);
  std::vector<std::unique_ptr<MemberReader>> readers;
  for (int i = 0; i < 5; ++i) readers.push_back(Open(std::to_string(i)));
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 12; ++i) {
        const size_t which = random() % 5;
        const size_t offset = random() % 700'000;
        if (ReadSome(*readers[which], offset, 1000) != lines_.substr(which * 7 + offset, 1000)) {
          ++wrong;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

// --- LocateMember ---

TEST_F(MemberReaderTest, MembersThatCannotBeOpened) {
  ArchiveBuilder builder;
  builder.Add({.name = "odd", .data = "x", .method = 4711})
      .Add({.name = "encrypted", .data = "x", .flags = zip::kFlagEncrypted})
      .Add({.name = "empty", .central = {.crc32 = 1}})
      .Add({.name = "differs", .data = "x", .local = {.name = "differx"}})
      .Add({.name = "fine", .data = "x"});
  Write(builder);
  EXPECT_EQ(FailureOf([&] { Open("odd"); }),
            std::to_string(EOPNOTSUPP) + ": compression method 4711 is not supported");
  EXPECT_EQ(ErrnoOf([&] { Open("encrypted"); }), EACCES);
  EXPECT_EQ(FailureOf([&] { Open("empty"); }), "5: bad CRC-32");
  EXPECT_EQ(ErrnoOf([&] { Open("differs"); }), EIO);
  EXPECT_EQ(ReadSome(*Open("fine"), 0, 10), "x");
}

// --- the archive changes under an open member ---

TEST_F(MemberReaderTest, UnlinkedAndReplaced) {
  Write();
  const auto stored = Open("stored");
  const auto deflated = Open("deflated");
  testing::WriteFile(folder_ / "new", "another");
  std::filesystem::rename(folder_ / "new", path_);
  ExpectAllRight(*stored, *deflated);
  ExpectAllRight(*stored, *deflated);
}

TEST_F(MemberReaderTest, ChangedInPlace) {
  Write();
  const auto stored = Open("stored");
  const auto deflated = Open("deflated");
  ExpectAllRight(*stored, *deflated);
  testing::Overwrite(path_, layout_.end_record + 4, std::string(2, '\0'));
  ExpectFails(*stored);
  ExpectFails(*deflated);
}

TEST_F(MemberReaderTest, AppendedAndTruncated) {
  for (const bool append : {true, false}) {
    Write();
    const auto stored = Open("stored");
    const auto deflated = Open("deflated");
    std::filesystem::resize_file(path_, append ? layout_.size + 1 : 4096);
    ExpectFails(*stored);
    ExpectFails(*deflated);
  }
}

TEST_F(MemberReaderTest, ChmodIsProvenHarmless) {
  Write();
  const auto stored = Open("stored");
  const auto deflated = Open("deflated");
  for (int i = 0; i < 3; ++i) {
    testing::TouchMode(path_);
    ExpectAllRight(*stored, *deflated);
    ExpectAllRight(*stored, *deflated);
  }
  std::filesystem::create_hard_link(path_, folder_ / "link");
  ExpectAllRight(*stored, *deflated);
}

TEST_F(MemberReaderTest, ChmodWhileManyRead) {
  Write();
  const auto stored = Open("stored");
  const auto deflated = Open("deflated");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back([&] { ExpectAllRight(*stored, *deflated); });
  for (int i = 0; i < 5; ++i) testing::TouchMode(path_);
  for (auto& thread : threads) thread.join();
}

TEST_F(MemberReaderTest, RewrittenWithItsTimeSetBack) {
  Write();
  const auto stored = Open("stored");
  const auto deflated = Open("deflated");
  ExpectAllRight(*stored, *deflated);
  testing::OverwriteKeepingTime(path_, layout_.members[0].data + 99'999, "\xff\xfe");
  testing::OverwriteKeepingTime(path_, layout_.members[1].data + 20, "\xff\xfe");
  EXPECT_EQ(FailureOf([&] { ReadSome(*stored, 0, 10); }),
            "5: bad CRC-32 after the archive was changed or touched while open");
  ExpectFails(*stored);
  ExpectFails(*deflated);
}

TEST_F(MemberReaderTest, RewrittenWithItsTimeSetBackAndThenReplaced) {
  Write();
  const auto stored = Open("stored");
  EXPECT_EQ(ReadSome(*stored, 0, 10), noise_.substr(0, 10));
  testing::OverwriteKeepingTime(path_, layout_.members[0].data, "rewritten");
  testing::WriteFile(folder_ / "new", "another");
  std::filesystem::rename(folder_ / "new", path_);
  ExpectFails(*stored);
}

// How many bytes this process has read so far.
uint64_t BytesRead() {
  std::ifstream io("/proc/self/io");
  std::string name;
  uint64_t bytes = 0;
  io >> name >> bytes;
  return bytes;
}

// One proof serves all who have the member open, and what their own decoders hold is not trusted.
TEST_F(MemberReaderTest, OneProofServesAllReaders) {
  Write();
  std::vector<std::unique_ptr<MemberReader>> readers;
  for (int i = 0; i < 20; ++i) readers.push_back(Open(i % 2 == 0 ? "stored" : "deflated"));
  for (const auto& reader : readers) ReadSome(*reader, 0, 10);
  testing::TouchMode(path_);
  const uint64_t before = BytesRead();
  for (size_t i = 0; i < readers.size(); ++i) {
    EXPECT_EQ(ReadSome(*readers[i], 0, 10), (i % 2 == 0 ? noise_ : lines_).substr(0, 10));
  }
  EXPECT_LT(BytesRead() - before, 3 * noise_.size());
}

// While somebody may still write, no proof holds: bytes can change without another change of times.
TEST_F(MemberReaderTest, NothingIsProvenWhileItIsOpenForWriting) {
  Write();
  const auto stored = Open("stored");
  util::UniqueFd writer(open(path_.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(writer);
  testing::TouchMode(path_);
  EXPECT_EQ(ErrnoOf([&] { ReadSome(*stored, 0, 10); }), EIO);
  writer.Reset();
  EXPECT_EQ(ReadSome(*stored, 0, 10), noise_.substr(0, 10));
}

// What a decoder has decoded from other bytes must not outlive the proof that they are back.
TEST_F(MemberReaderTest, RewrittenAndRestoredUnderADecoder) {
  const std::string other = std::string(20, '!') + lines_.substr(20);
  const std::string right = testing::Deflate(lines_, 0);  // level 0: the bytes as they are
  const std::string wrong = testing::Deflate(other, 0);
  ASSERT_EQ(right.size(), wrong.size());
  ArchiveBuilder builder;
  builder.Add({.name = "m", .data = lines_, .method = zip::kMethodDeflated, .compressed = right});
  Write(builder);
  const auto one = Open("m"), two = Open("m");  // who share a decoder
  for (int i = 0; i < 2; ++i) {
    testing::OverwriteKeepingTime(path_, layout_.members[0].data, wrong);
    EXPECT_EQ(ErrnoOf([&] { ReadSome(*one, 0, 10); }), EIO);
    EXPECT_EQ(ErrnoOf([&] { ReadSome(*two, 5, 10); }), EIO);
    testing::OverwriteKeepingTime(path_, layout_.members[0].data, right);
    EXPECT_EQ(ReadSome(*two, 0, 10), lines_.substr(0, 10));
    EXPECT_EQ(ReadSome(*one, 5, 10), lines_.substr(5, 10));
  }
}

// --- CRC-32 of stored members ---

TEST_F(MemberReaderTest, StoredMemberWithABadCrcFailsAtItsLastByte) {
  ArchiveBuilder builder;
  builder.Add({.name = "m", .data = "hello", .central = {.crc32 = 1}});
  Write(builder);
  const auto reader = Open("m");
  const auto other = Open("m");
  EXPECT_EQ(ReadSome(*reader, 0, 2), "he");
  EXPECT_EQ(ReadSome(*reader, 0, 4), "hell");
  EXPECT_FALSE(reader->is_wrong());
  EXPECT_EQ(FailureOf([&] { ReadSome(*reader, 2, 3); }), "5: bad CRC-32");
  EXPECT_TRUE(reader->is_wrong());
  EXPECT_EQ(FailureOf([&] { ReadSome(*reader, 0, 1); }), "5: bad CRC-32");
  EXPECT_EQ(FailureOf([&] { ReadSome(*other, 0, 1); }), "5: bad CRC-32");
  EXPECT_EQ(FailureOf([&] { Open("m")->Verify(); }), "5: bad CRC-32");
}

TEST_F(MemberReaderTest, StoredMemberThatIsOnlyReadInPartsIsNotJudged) {
  ArchiveBuilder builder;
  builder.Add({.name = "m", .data = "hello", .central = {.crc32 = 1}});
  Write(builder);
  const auto reader = Open("m");
  EXPECT_EQ(ReadSome(*reader, 1, 10), "ello");
  EXPECT_EQ(ReadSome(*reader, 1, 10), "ello");
  EXPECT_FALSE(reader->is_wrong());
}

TEST_F(MemberReaderTest, Verify) {
  for (const auto method : {zip::kMethodStored, zip::kMethodDeflated}) {
    ArchiveBuilder builder;
    builder.Add({.name = "right", .data = lines_, .method = method});
    builder.Add({.name = "wrong", .data = lines_, .method = method, .central = {.crc32 = 1}});
    Write(builder);
    Open("right")->Verify();
    const auto reader = Open("wrong");
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(FailureOf([&] { reader->Verify(); }), "5: bad CRC-32");
      EXPECT_TRUE(reader->is_wrong());
    }
    EXPECT_EQ(FailureOf([&] { ReadSome(*reader, 0, 1); }), "5: bad CRC-32");
  }
}

TEST_F(MemberReaderTest, WhatIsFoundWrongOfAChangedFileIsNotHeldAgainstTheVersion) {
  Write();
  const auto reader = Open("stored");
  testing::OverwriteKeepingTime(path_, layout_.members[0].data, std::string(5, '?'));
  EXPECT_EQ(ErrnoOf([&] { reader->Verify(); }), EIO);
  EXPECT_FALSE(reader->is_wrong());
}

TEST_F(MemberReaderTest, EmptyMemberIsReadAfterAChmodToo) {
  ArchiveBuilder builder;
  builder.Add({.name = "m", .method = zip::kMethodDeflated});
  Write(builder);
  const auto reader = Open("m");
  testing::TouchMode(path_);
  EXPECT_EQ(ReadSome(*reader, 0, 10), "");
}

}  // namespace
}  // namespace skopsfs::archive
