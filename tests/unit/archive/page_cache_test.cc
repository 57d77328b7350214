#include "archive/page_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "archive/archive_file.h"
#include "support/open_archive.h"
#include "support/samples.h"
#include "support/temp_folder.h"

namespace skopsfs::archive {
namespace {

using testing::OpenArchiveFile;
using testing::ReadSome;

TEST(IsInPageCache, TrueWhereTheKernelDoesNotSay) { EXPECT_TRUE(IsInPageCache(-1, 0, 4096)); }

// How many pages of [offset, offset + size) are in the page cache.
size_t ResidentPages(const std::string& path, uint64_t offset, size_t size) {
  const util::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  void* map = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), static_cast<off_t>(offset));
  if (map == MAP_FAILED) throw util::ErrnoError("mmap");
  std::vector<unsigned char> resident(size / static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  const int result = mincore(map, size, resident.data());
  munmap(map, size);
  if (result != 0) throw util::ErrnoError("mincore");
  size_t count = 0;
  for (const auto flags : resident) count += flags & 1;
  return count;
}

class PageDropperTest : public ::testing::Test {
 protected:
  static constexpr size_t kWindow = 8 << 20;
  const size_t pages_ = kWindow / static_cast<size_t>(sysconf(_SC_PAGESIZE));

  void SetUp() override {
    constexpr long kExt4 = 0xef53;
    struct statfs fs;
    ASSERT_EQ(statfs(folder_.path().c_str(), &fs), 0);
    // Elsewhere (tmpfs) the page cache may be all there is, or mincore may not tell.
    if (fs.f_type != kExt4) GTEST_SKIP() << "not on ext4";
    testing::WriteFile(path_, testing::Noise(2 * kWindow + 4096));
    const util::UniqueFd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(fsync(fd.get()), 0);  // dirty pages cannot be dropped
    file_ = OpenArchiveFile(path_);
  }

  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "a.skops";
  std::shared_ptr<const ArchiveFile> file_;
};

TEST_F(PageDropperTest, DroppedOnRequest) {
  ReadSome(*file_, 0, 2 * kWindow);
  EXPECT_GT(ResidentPages(path_, 0, 2 * kWindow), 0U);
  file_->pages().Drop();
  EXPECT_LT(ResidentPages(path_, 0, 2 * kWindow), pages_ / 10);
}

TEST_F(PageDropperTest, DroppedWhenQuiet) {
  file_->pages().DropIfQuiet();
  ReadSome(*file_, 0, 2 * kWindow);
  file_->pages().DropIfQuiet();
  EXPECT_GT(ResidentPages(path_, 0, 2 * kWindow), 0U);
  file_->pages().DropIfQuiet();
  EXPECT_LT(ResidentPages(path_, 0, 2 * kWindow), pages_ / 10);
}

TEST_F(PageDropperTest, DroppedWhenItGoes) {
  ReadSome(*file_, 0, 2 * kWindow);
  file_.reset();
  EXPECT_LT(ResidentPages(path_, 0, 2 * kWindow), pages_ / 10);
}

TEST_F(PageDropperTest, WindowIsDroppedWhenItHasBeenServed) {
  ReadSome(*file_, 0, 2 * kWindow);
  // All of the first window in pieces that do not end with it, and a little of the second.
  constexpr size_t kPiece = 1 << 20;
  for (size_t i = 0; i < 8; ++i) file_->pages().Served(i * kPiece + 100, kPiece);
  EXPECT_GT(ResidentPages(path_, 0, kWindow), 0U);
  file_->pages().Served(0, 100);
  EXPECT_LT(ResidentPages(path_, 0, kWindow), pages_ / 10);
  EXPECT_GT(ResidentPages(path_, kWindow, kWindow), 0U);
}

TEST_F(PageDropperTest, ServedFromManyThreadsUpToTheEnd) {
  const std::string bytes = ReadSome(*file_, 0, file_->size());
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t at = t * 65536; at < file_->size(); at += 8 * 65536) {
        const auto size = std::min<uint64_t>(65536, file_->size() - at);
        EXPECT_TRUE(ReadSome(*file_, at, size) == bytes.substr(at, size));
        file_->pages().Served(at, size);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace skopsfs::archive
