#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "archive/direct_reader.h"
#include "archive/page_cache.h"
#include "support/file_changes.h"
#include "support/temp_folder.h"

namespace skopsfs::archive {
namespace {

constexpr size_t kBlock = DirectFile::kBlock;

std::string Numbers(size_t size) {
  std::string text;
  while (text.size() < size) text += std::to_string(text.size()) + ' ';
  text.resize(size);
  return text;
}

class DirectFileTest : public ::testing::Test {
 protected:
  DirectFileTest() { testing::WriteFile(path_, contents_); }

  void SetUp() override {
    fd_ = util::UniqueFd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!DirectFile::IsPossible(fd_.get())) {
      struct statfs filesystem {};
      ASSERT_EQ(fstatfs(fd_.get(), &filesystem), 0);
      ASSERT_NE(filesystem.f_type, EXT4_SUPER_MAGIC) << "since Linux 6.1 it says that it has them";
      GTEST_SKIP() << "the filesystem of " << path_ << " has no direct reads";
    }
    direct_ = DirectFile::Open(fd_.get());
    ASSERT_NE(direct_, nullptr);
  }

  std::span<std::byte> Memory(size_t size) {
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    return std::span(memory_).subspan((kBlock - address % kBlock) % kBlock, size);
  }
  static std::string Text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "file";
  const std::string contents_ = Numbers(10 * kBlock + 100);
  std::vector<std::byte> memory_ = std::vector<std::byte>(12 * kBlock);
  util::UniqueFd fd_;
  std::unique_ptr<DirectFile> direct_;
};

TEST_F(DirectFileTest, ReadsWholeBlocks) {
  for (const size_t blocks : {1, 3, 8}) {
    const auto out = Memory(blocks * kBlock);
    ASSERT_TRUE(direct_->Read(2 * kBlock, out));
    EXPECT_EQ(Text(out), contents_.substr(2 * kBlock, blocks * kBlock));
  }
}

TEST_F(DirectFileTest, ReadsWhatIsNotYetOnTheDisk) {
  util::UniqueFd writer(open(path_.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(pwrite(writer.get(), "new", 3, kBlock), 3);
  const auto out = Memory(kBlock);
  ASSERT_TRUE(direct_->Read(kBlock, out));
  EXPECT_EQ(Text(out.first(3)), "new");
}

TEST_F(DirectFileTest, FailsWhereTheFileEnds) {
  EXPECT_FALSE(direct_->Read(9 * kBlock, Memory(2 * kBlock)));
  EXPECT_FALSE(direct_->Read(20 * kBlock, Memory(kBlock)));
}

TEST_F(DirectFileTest, FailsWhereItIsNotAligned) {
  EXPECT_FALSE(direct_->Read(1, Memory(kBlock)));
  EXPECT_FALSE(direct_->Read(0, Memory(kBlock + 1).subspan(1)));
}

TEST_F(DirectFileTest, SoManyAtMost) {
  std::vector<std::unique_ptr<DirectFile>> many;
  while (auto another = DirectFile::Open(fd_.get())) {
    many.push_back(std::move(another));
    ASSERT_LT(many.size(), 1000U);
  }
  EXPECT_GT(many.size(), 1U);
  EXPECT_LE(many.size(), 99U);
  many.pop_back();
  EXPECT_NE(DirectFile::Open(fd_.get()), nullptr);
}

TEST_F(DirectFileTest, LeavesThePageCacheAsItIs) {
  ASSERT_EQ(fsync(fd_.get()), 0);
  posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);
  if (IsInPageCache(fd_.get(), 0, contents_.size())) {
    GTEST_SKIP() << "the kernel does not say what is in the page cache, or keeps it there";
  }
  ASSERT_TRUE(direct_->Read(0, Memory(8 * kBlock)));
  EXPECT_FALSE(IsInPageCache(fd_.get(), 0, contents_.size()));
  // An eighth is a part that counts.
  posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_RANDOM);  // one page is read, no more
  ASSERT_EQ(pread(fd_.get(), memory_.data(), 1, 0), 1);
  EXPECT_TRUE(IsInPageCache(fd_.get(), 0, 8 * kBlock));
  EXPECT_FALSE(IsInPageCache(fd_.get(), 0, 9 * kBlock));
}

TEST(DirectFile, NoneOfWhatIsNoFile) {
  EXPECT_FALSE(DirectFile::IsPossible(-1));
  EXPECT_EQ(DirectFile::Open(-1), nullptr);
}

}  // namespace
}  // namespace skopsfs::archive
