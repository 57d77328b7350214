#include "archive/archive_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/errors.h"
#include "support/file_changes.h"
#include "support/open_archive.h"
#include "support/samples.h"
#include "support/temp_folder.h"

namespace skopsfs::archive {
namespace {

using testing::ErrnoOf;
using testing::OpenArchiveFile;
using testing::ReadSome;

class ArchiveFileTest : public ::testing::Test {
 protected:
  ArchiveFileTest() {
    testing::WriteFile(path_, "0123456789");
    file_ = OpenArchiveFile(path_);
    testing::WaitForNewTime(path_);
  }

  void ExpectUnchanged() {
    EXPECT_EQ(file_->CheckUnchanged(), std::nullopt);
    EXPECT_EQ(ReadSome(*file_, 0, 10), "0123456789");
  }
  // The same version still, perhaps in need of proof.
  void ExpectReadable() {
    EXPECT_EQ(ErrnoOf([&] { file_->CheckUnchanged(); }), 0);
    EXPECT_EQ(ReadSome(*file_, 0, 10), "0123456789");
  }
  void ExpectChanged() {
    EXPECT_EQ(ErrnoOf([&] { file_->CheckUnchanged(); }), EIO);
    EXPECT_FALSE(file_->IsCurrent());
  }
  // Only the change time moved: it is what CheckUnchanged gives.
  void ExpectDoubtful() {
    const auto now = handover::IdentityOf(testing::StatOf(path_));
    EXPECT_EQ(file_->CheckUnchanged(), now.ctime);
    EXPECT_FALSE(file_->IsCurrent());
  }

  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "a.skops";
  std::shared_ptr<const ArchiveFile> file_;
};

TEST_F(ArchiveFileTest, ReadsAnyRange) {
  EXPECT_EQ(file_->size(), 10U);
  EXPECT_EQ(ReadSome(*file_, 0, 10), "0123456789");
  EXPECT_EQ(ReadSome(*file_, 3, 4), "3456");
  EXPECT_EQ(ReadSome(*file_, 8, 100), "89");
  EXPECT_EQ(ReadSome(*file_, 10, 1), "");
  EXPECT_EQ(ReadSome(*file_, UINT64_MAX, 1), "");
  EXPECT_EQ(ReadSome(*file_, 2, 0), "");
}

// Large reads that jump, into memory that lies as the file does. They go past the page cache, and
// give what others give.
TEST_F(ArchiveFileTest, JumpsGoPastThePageCache) {
  constexpr size_t kBlock = DirectFile::kBlock;
  constexpr size_t kSize = (size_t{3} << 20) + 1234;
  std::string noise(kSize, 0);
  std::mt19937_64 random(1);
  for (char& c : noise) c = static_cast<char>(random());
  testing::WriteFile(path_, noise);
  testing::WaitForNewTime(path_);
  std::vector<std::byte> memory(kSize + 2 * kBlock);
  const auto begin = (kBlock - reinterpret_cast<uintptr_t>(memory.data()) % kBlock) % kBlock;
  const auto at = [&](uint64_t offset, size_t size) {
    return std::span(memory).subspan(begin + offset % kBlock, size);
  };
  bool seen_to_go_past = true;
  for (const size_t from : {0, 1, 511, 512, 4095, 4096, 4097, 867}) {
    for (const size_t left : {0, 1, 512, 1234, 4096, 5330, 2'880'000}) {
      const util::UniqueFd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
      ASSERT_EQ(fsync(fd.get()), 0);
      posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
      const bool tells = !IsInPageCache(fd.get(), 0, kSize);
      const auto file = OpenArchiveFile(path_);
      const size_t size = kSize - from - left;
      const auto out = at(from, size);
      ASSERT_EQ(file->ReadForPages(from, out), size);
      EXPECT_EQ(std::memcmp(out.data(), noise.data() + from, size), 0) << from << " " << left;
      EXPECT_EQ(file->CheckUnchanged(), std::nullopt);
      if (tells && DirectFile::IsPossible(fd.get())) {
        EXPECT_FALSE(IsInPageCache(fd.get(), kBlock, kSize - left - 2 * kBlock));
      } else {
        seen_to_go_past = false;
      }
    }
  }
  const auto file = OpenArchiveFile(path_);
  testing::Overwrite(path_, 1 << 20, "another version");
  file->ReadForPages(0, at(0, kSize));
  EXPECT_EQ(ErrnoOf([&] { file->CheckUnchanged(); }), EIO);
  if (!seen_to_go_past) {
    GTEST_SKIP() << "the bytes are right; whether they went past the page cache cannot be told: no "
                    "direct reads here, or no cachestat(2)";
  }
}

// The same of small ones, into any memory.
TEST_F(ArchiveFileTest, SmallJumpsGoPastThePageCache) {
  constexpr size_t kSize = (size_t{3} << 20) + 1234;
  std::string noise(kSize, 0);
  std::mt19937_64 random(2);
  for (char& c : noise) c = static_cast<char>(random());
  testing::WriteFile(path_, noise);
  testing::WaitForNewTime(path_);
  const util::UniqueFd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(fsync(fd.get()), 0);
  posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  const bool tells = !IsInPageCache(fd.get(), 0, kSize) && DirectFile::IsPossible(fd.get());
  const auto file = OpenArchiveFile(path_);
  for (const size_t size : {1, 511, 4096, 4097, 130'000, 262'143}) {
    for (const uint64_t offset : {uint64_t{2'700'000}, uint64_t{12'345}, uint64_t{1'401'856}}) {
      std::string bytes(size, 0);
      ASSERT_EQ(file->ReadForPages(offset, std::as_writable_bytes(std::span(bytes))), size);
      EXPECT_TRUE(bytes == noise.substr(offset, size)) << size << " " << offset;
    }
  }
  for (const size_t from_end : {1, 1000, 1235, 5000}) {
    std::string bytes(10'000, 0);
    bytes.resize(file->ReadForPages(kSize - from_end, std::as_writable_bytes(std::span(bytes))));
    EXPECT_TRUE(bytes == noise.substr(kSize - from_end)) << from_end;
  }
  const auto fresh = OpenArchiveFile(path_);
  posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  std::byte byte;
  fresh->ReadForPages(2'000'000, {&byte, 1});
  if (!tells) GTEST_SKIP() << "the bytes are right; where they came from cannot be told here";
  EXPECT_FALSE(IsInPageCache(fd.get(), 2'000'000, 1));
}

TEST_F(ArchiveFileTest, PagesThatNobodyDropsAreBounded) {
  constexpr size_t kBlock = size_t{1} << 20;
  constexpr size_t kBlocks = 200;
  std::filesystem::resize_file(path_, kBlocks * kBlock);
  testing::WaitForNewTime(path_);
  const auto file = OpenArchiveFile(path_);
  const util::UniqueFd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  std::vector<std::byte> block(kBlock);
  for (size_t i = 0; i < kBlocks; ++i) file->ReadAt(i * kBlock, block);
  if (IsInPageCache(fd.get(), 0, kBlock) && IsInPageCache(fd.get(), 10 * kBlock, kBlock)) {
    posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
    ASSERT_TRUE(IsInPageCache(fd.get(), 0, kBlock)) << "they were not dropped";
    GTEST_SKIP() << "what is in the page cache cannot be told here";
  }
}

TEST_F(ArchiveFileTest, IdentityIsTheFiles) {
  const struct stat st = testing::StatOf(path_);
  EXPECT_EQ(file_->identity(), handover::IdentityOf(st));
  EXPECT_EQ(file_->identity().inode, st.st_ino);
  EXPECT_EQ(file_->identity().device, st.st_dev);
  EXPECT_EQ(file_->identity().size, 10U);
}

TEST_F(ArchiveFileTest, UntouchedIsUnchanged) {
  ExpectUnchanged();
  EXPECT_TRUE(file_->IsCurrent());
}

TEST_F(ArchiveFileTest, LosingItsNameIsNoChange) {
  std::filesystem::remove(path_);
  ExpectReadable();
  EXPECT_FALSE(file_->IsCurrent());
}

TEST_F(ArchiveFileTest, BeingReplacedIsNoChange) {
  testing::WriteFile(folder_ / "new", "another one");
  std::filesystem::rename(folder_ / "new", path_);
  ExpectReadable();
  EXPECT_FALSE(file_->IsCurrent());
}

TEST_F(ArchiveFileTest, OverwrittenInPlace) {
  testing::Overwrite(path_, 2, "x");
  ExpectChanged();
}

TEST_F(ArchiveFileTest, Appended) {
  testing::Overwrite(path_, 10, "x");
  ExpectChanged();
  EXPECT_EQ(ReadSome(*file_, 8, 100), "89");  // not beyond the version that was opened
}

TEST_F(ArchiveFileTest, Truncated) {
  std::filesystem::resize_file(path_, 5);
  ExpectChanged();
  EXPECT_EQ(ReadSome(*file_, 0, 5), "01234");
  EXPECT_FALSE(file_->failed_to_read());
  EXPECT_EQ(ErrnoOf([&] { ReadSome(*file_, 0, 10); }), EIO);
  EXPECT_EQ(ErrnoOf([&] { ReadSome(*file_, 7, 1); }), EIO);
  EXPECT_TRUE(file_->failed_to_read());
}

TEST_F(ArchiveFileTest, TruncatedAndGrownAgain) {
  std::filesystem::resize_file(path_, 5);
  std::filesystem::resize_file(path_, 10);
  ExpectChanged();
}

TEST_F(ArchiveFileTest, NewModificationTimeIsAChange) {
  std::filesystem::last_write_time(path_, std::filesystem::file_time_type::clock::now());
  ExpectChanged();
}

TEST_F(ArchiveFileTest, ChmodIsDoubtful) {
  testing::TouchMode(path_);
  ExpectDoubtful();
}

TEST_F(ArchiveFileTest, RenameIsDoubtfulWhereTheFileSystemCountsIt) {
  std::filesystem::rename(path_, folder_ / "b.skops");
  const auto now = handover::IdentityOf(testing::StatOf(folder_ / "b.skops"));
  if (now == file_->identity()) {
    ExpectUnchanged();
  } else {
    EXPECT_EQ(file_->CheckUnchanged(), now.ctime);
  }
}

TEST_F(ArchiveFileTest, OneMoreLinkIsDoubtful) {
  std::filesystem::create_hard_link(path_, folder_ / "link");
  ExpectDoubtful();
  std::filesystem::remove(folder_ / "link");
  ExpectDoubtful();
}

TEST_F(ArchiveFileTest, RewriteThatSetsTheTimeBackIsDoubtful) {
  testing::OverwriteKeepingTime(path_, 0, "abcdefghij");
  ExpectDoubtful();
}

// Losing a name moves the change time too, but it must not hide a rewrite before or after it.
TEST_F(ArchiveFileTest, RewriteThatSetsTheTimeBackAndLosesItsName) {
  testing::OverwriteKeepingTime(path_, 0, "abcdefghij");
  std::filesystem::remove(path_);
  EXPECT_TRUE(file_->CheckUnchanged().has_value()) << "the rewrite went unseen";
}

// A size is a stranger's claim: what is kept for it is bounded.
TEST_F(ArchiveFileTest, SizeThatNoDiskHas) {
  util::UniqueFd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat st {};
  ASSERT_EQ(fstat(fd.get(), &st), 0);
  st.st_size = std::numeric_limits<off_t>::max();
  const ArchiveFile file(std::move(fd), st);
  file.pages().Served(0, 1);
  file.pages().Served(static_cast<uint64_t>(st.st_size) - 1, 1);
  EXPECT_FALSE(file.IsCurrent());
}

}  // namespace
}  // namespace skopsfs::archive
