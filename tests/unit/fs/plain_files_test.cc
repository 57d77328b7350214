#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "fs/file_system.h"
#include "support/archive_files.h"
#include "support/errors.h"
#include "support/file_changes.h"
#include "support/kernel.h"
#include "support/log_capture.h"
#include "support/samples.h"
#include "util/unique_fd.h"

namespace skopsfs::fs {
namespace {

using testing::ErrnoOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// Files that lie beside the archives.
class PlainFilesTest : public ::testing::Test {
 protected:
  PlainFilesTest() {
    std::filesystem::create_directories(folder_ / "model/data");
    testing::WriteFile(path_, text_);
    testing::WriteFile(folder_ / "model/empty", "");
    testing::WriteFile(folder_ / "model/model.skops", testing::ArchiveOf("m"));
    Start();
  }

  void Start(const FileSystem::Options& options = {.revalidate = 7}, bool hides = false) {
    kernel_.reset();
    source::Source source(folder_.path().string());
    if (hides) source.HideOthers();
    fs_ = std::make_unique<FileSystem>(std::move(source), options);
    kernel_ = std::make_unique<testing::Kernel>(*fs_);
  }

  static constexpr uint64_t kLarge = uint64_t{17} << 20;
  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "model/MLmodel";
  const std::string text_ = testing::Noise(300'000);
  const testing::LogCapture log_;
  std::unique_ptr<FileSystem> fs_;
  std::unique_ptr<testing::Kernel> kernel_;
};

TEST_F(PlainFilesTest, AreReadAsTheyAre) {
  EXPECT_THAT(kernel_->Names(kernel_->Node("model")),
              UnorderedElementsAre("MLmodel", "empty", "model.skops", "data"));
  EXPECT_TRUE(kernel_->Contents("model/MLmodel") == text_);
  EXPECT_EQ(kernel_->Read(fs_->MemberOf(kernel_->Node("model/MLmodel")), 1000, 100),
            text_.substr(1000, 100));
  EXPECT_EQ(kernel_->Contents("model/model.skops/m"), "m");
  EXPECT_EQ(kernel_->Contents("model/empty"), "");
}

TEST_F(PlainFilesTest, Attributes) {
  std::filesystem::permissions(path_, std::filesystem::perms(0751));
  const auto entry = kernel_->Find("model/MLmodel");
  const auto& st = entry->attributes;
  EXPECT_EQ(st.st_mode, S_IFREG | 0440U);
  EXPECT_EQ(static_cast<size_t>(st.st_size), text_.size());
  EXPECT_EQ(st.st_blocks, testing::StatOf(path_).st_blocks);
  EXPECT_EQ(st.st_mtim.tv_sec, testing::StatOf(path_).st_mtim.tv_sec);
  EXPECT_EQ(st.st_nlink, 1U);
  EXPECT_EQ(entry->entry_timeout, 7);
  EXPECT_EQ(fs_->GetAttributes(entry->node).attributes.st_ino, st.st_ino);
  for (const auto& item : kernel_->List(kernel_->Node("model"))) {
    if (item.name != "MLmodel") continue;
    EXPECT_EQ(item.entry.attributes.st_ino, st.st_ino);
    EXPECT_EQ(item.entry.attributes.st_mode, st.st_mode);
  }
}

TEST_F(PlainFilesTest, AreNoArchives) {
  const auto node = kernel_->Node("model/MLmodel");
  EXPECT_THAT(fs_->ListXattr(node), IsEmpty());
  EXPECT_EQ(ErrnoOf([&] { fs_->Lookup(node, "m"); }), ENOTDIR);
  EXPECT_EQ(ErrnoOf([&] { fs_->OpenDirectory(node); }), ENOTDIR);
  EXPECT_EQ(ErrnoOf([&] { fs_->ReadDirectory(node, 0, false, [](auto&) { return true; }); }),
            ENOTDIR);
  for (const uint32_t index : {1U, NodeId::kFirstName, NodeId::kFirstInner}) {
    EXPECT_NE(ErrnoOf([&] { fs_->MemberOf({.slot = node.slot, .index = index}); }), 0) << index;
  }
  const auto summary = catalog::SummarizeArchives(fs_->catalog().slots().All(), 10);
  EXPECT_EQ(summary.open + summary.idle + summary.failed, 0U);
}

TEST_F(PlainFilesTest, AreHiddenWhereThatIsWanted) {
  Start({}, true);
  EXPECT_THAT(kernel_->Names(kernel_->Node("model")), UnorderedElementsAre("model.skops", "data"));
  EXPECT_FALSE(kernel_->Find("model/MLmodel"));
}

TEST_F(PlainFilesTest, WithNothingToProveThemByAreReadWhateverIsToBeProvenFirst) {
  Start({.proves_first = true});
  EXPECT_TRUE(kernel_->Contents("model/MLmodel") == text_);
}

TEST_F(PlainFilesTest, KeepTheirVersion) {
  const auto before = kernel_->Node("model/MLmodel");
  const auto old = fs_->MemberOf(before);
  EXPECT_TRUE(kernel_->Read(old, 0, text_.size()) == text_);
  testing::WaitForNewTime(path_);
  testing::ReplaceFile(path_, "new");
  EXPECT_EQ(kernel_->Contents("model/MLmodel"), "new");
  EXPECT_NE(kernel_->Node("model/MLmodel").slot, before.slot);
  EXPECT_TRUE(kernel_->Read(old, 0, text_.size()) == text_);
  EXPECT_EQ(fs_->catalog().open_archives().open_files(), 2U);
  kernel_->ForgetAll();
}

// Who has opened it has it, though the kernel tells nobody of that.
TEST_F(PlainFilesTest, ThatWereLookedUpCanBeReadWhateverBecomesOfTheName) {
  for (const bool is_removed : {false, true}) {
    testing::WriteFile(path_, text_);
    testing::WaitForNewTime(path_);
    const auto node = kernel_->Node("model/MLmodel");
    testing::ReplaceFile(path_, "new");
    if (is_removed) std::filesystem::remove(path_);
    const auto old = fs_->MemberOf(node);
    EXPECT_TRUE(kernel_->Read(old, 5000, 1000) == text_.substr(5000, 1000));
    EXPECT_TRUE(kernel_->Read(old, 0, text_.size()) == text_);
  }
}

TEST_F(PlainFilesTest, ThatWereListedAreLookedUpBeforeTheyAreOpened) {
  const auto folder = kernel_->Node("model");
  const auto timeout_of = [&] {
    for (const auto& item : kernel_->List(folder, true)) {
      if (item.name == "MLmodel") return item.entry.entry_timeout;
    }
    return -1.0;
  };
  EXPECT_EQ(timeout_of(), 0);
  EXPECT_EQ(fs_->catalog().open_archives().open_files(), 0U);
  EXPECT_EQ(kernel_->Find("model/MLmodel")->entry_timeout, 7);
  EXPECT_EQ(timeout_of(), 7);
}

TEST_F(PlainFilesTest, ThatCannotBeOpenedHaveAttributes) {
  const util::UniqueFd writer(open(path_.c_str(), O_WRONLY | O_CLOEXEC));
  const auto entry = kernel_->Find("model/MLmodel");
  EXPECT_EQ(static_cast<size_t>(entry->attributes.st_size), text_.size());
  EXPECT_EQ(entry->entry_timeout, 0);
  EXPECT_THAT(log_.texts(), IsEmpty()) << "nobody has read it";
  EXPECT_EQ(ErrnoOf([&] { fs_->MemberOf(entry->node); }), EIO);
}

TEST_F(PlainFilesTest, AreLetGoOf) {
  kernel_->Contents("model/MLmodel");
  EXPECT_EQ(fs_->catalog().open_archives().open_files(), 1U);
  const auto slot = fs_->catalog().slots().Get(kernel_->Node("model/MLmodel").slot);
  const auto named = fs_->NamesOf(slot, 0, 10);
  ASSERT_EQ(named.size(), 1U);
  EXPECT_EQ(named[0].name, "MLmodel");
  EXPECT_EQ(named[0].parent, kernel_->Node("model"));
  kernel_->ForgetAll();
  EXPECT_EQ(fs_->catalog().slots().All().size(), 1U);
}

// Their CRC-32 is that of the bytes that were there when the first one was given.
TEST_F(PlainFilesTest, AreProvenWhateverTouchesThem) {
  const auto old = fs_->MemberOf(kernel_->Node("model/MLmodel"));
  EXPECT_EQ(kernel_->Read(old, 0, 1000), text_.substr(0, 1000));
  testing::TouchMode(path_);
  std::filesystem::create_hard_link(path_, path_ + "~");
  std::filesystem::rename(path_, path_ + ".1");
  EXPECT_TRUE(kernel_->Read(old, 0, text_.size()) == text_);
}

TEST_F(PlainFilesTest, ThatNothingWasReadOfAreTakenAsTheyAre) {
  for (const uint64_t size : {text_.size(), kLarge}) {
    std::filesystem::resize_file(path_, size);
    testing::WaitForNewTime(path_);
    const auto node = kernel_->Node("model/MLmodel");
    testing::TouchMode(path_);
    EXPECT_EQ(kernel_->Read(fs_->MemberOf(node), 0, 1000), text_.substr(0, 1000)) << size;
  }
}

TEST_F(PlainFilesTest, ThatAreLargeCannotBeProvenBeforeTheyWereReadAsAWhole) {
  std::filesystem::resize_file(path_, kLarge);
  for (const bool is_read : {false, true}) {
    const auto old = fs_->MemberOf(kernel_->Node("model/MLmodel"));
    kernel_->Read(old, 0, is_read ? kLarge : 1000);
    testing::WaitForNewTime(path_);
    testing::TouchMode(path_);
    EXPECT_EQ(ErrnoOf([&] { kernel_->Read(old, 0, 1000); }), is_read ? 0 : EIO);
    if (is_read) break;
    const std::string reason =
        "the file was changed or touched while open, before all of it was read";
    EXPECT_THAT(log_.texts(),
                ::testing::Contains(HasSubstr("\"model/MLmodel\": cannot be read: " + reason)));
    EXPECT_EQ(fs_->GetXattr(old.node, "user.skopsfs.error"), reason);
  }
}

// So that looks at very many do not take what others need.
TEST_F(PlainFilesTest, OfThoseThatAreOnlyLookedAtFewAreOpen) {
  for (int i = 0; i < 300; ++i) {
    const std::string name = "model/data/" + std::to_string(i);
    testing::WriteFile(folder_ / name, "x");
    kernel_->Node(name);
  }
  EXPECT_EQ(fs_->catalog().open_archives().open_files(), 200U);
  Start({.budget = {.descriptors = 4}});
  for (int i = 0; i < 10; ++i) kernel_->Node("model/data/" + std::to_string(i));
  EXPECT_EQ(fs_->catalog().open_archives().open_files(), 2U);
}

TEST_F(PlainFilesTest, OfTheNameOfTheMountsOwnFolderAreNotShown) {
  testing::WriteFile(folder_ / ".skopsfs", "x");
  EXPECT_THAT(kernel_->Names(kRoot), UnorderedElementsAre("model"));
  EXPECT_TRUE(S_ISDIR(kernel_->Find(".skopsfs")->attributes.st_mode));
}

TEST_F(PlainFilesTest, ThatWereChangedBehindOurBackAreFound) {
  const auto old = fs_->MemberOf(kernel_->Node("model/MLmodel"));
  kernel_->Read(old, 0, text_.size());
  testing::WaitForNewTime(path_);
  testing::OverwriteKeepingTime(path_, 5, "other");
  EXPECT_EQ(ErrnoOf([&] { kernel_->Read(old, 0, 1000); }), EIO);
  testing::Overwrite(path_, 5, "again");
  EXPECT_EQ(ErrnoOf([&] { kernel_->Read(old, 0, 1000); }), EIO);
}

}  // namespace
}  // namespace skopsfs::fs
