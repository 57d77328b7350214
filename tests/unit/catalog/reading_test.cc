// What the catalogue does with versions that are being read.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "catalog/catalog.h"
#include "support/archive_files.h"
#include "support/errors.h"
#include "support/file_changes.h"
#include "support/log_capture.h"
#include "support/slot_peer.h"

namespace skopsfs::catalog {
namespace {

using testing::ErrnoOf;
using testing::FailureOf;
using ::testing::HasSubstr;
using testing::LookUp;
using testing::MemberOf;

class KeeperInATest : public DescriptorStore {
 public:
  uint64_t Keep(uint64_t slot_id, int) noexcept override {
    if (is_full) return 0;
    kept[++last_] = slot_id;
    return last_;
  }
  void Drop(uint64_t number) noexcept override {
    kept.erase(number);
    dropped.insert(number);
  }

  bool is_full = false;
  std::map<uint64_t, uint64_t> kept;  // slots by number
  std::set<uint64_t> dropped;

 private:
  uint64_t last_ = 0;
};

class ReadingTest : public ::testing::Test {
 protected:
  ReadingTest() {
    testing::WriteFile(path_, testing::ArchiveOf("data"));
    slot_ = LookUp(catalog_, "a.skops");
  }

  std::shared_ptr<archive::MemberReader> Read() {
    return testing::StartReading(catalog_, slot_, decoders_);
  }
  InheritedDescriptor Kept(uint64_t number, uint64_t slot_id) const {
    return {number, slot_id, util::UniqueFd(open(path_.c_str(), O_RDONLY | O_CLOEXEC))};
  }

  static constexpr uint32_t kMember = 1;
  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "a.skops";
  const testing::LogCapture log_;
  archive::DecoderPool decoders_;
  KeeperInATest keeper_;
  Catalog catalog_{folder_.path().string(), {}, std::make_unique<handover::SlotStore>(), &keeper_};
  std::shared_ptr<Slot> slot_;
};

TEST_F(ReadingTest, WhatIsOpenIsKeptUntilItsSlotGoes) {
  catalog_.Open(slot_);
  EXPECT_FALSE(SlotPeer(slot_).was_read());
  EXPECT_EQ(keeper_.kept, (std::map<uint64_t, uint64_t>{{1, slot_->id}})) << "it may be read";
  Read();
  Read();
  EXPECT_TRUE(SlotPeer(slot_).was_read());
  EXPECT_EQ(keeper_.kept, (std::map<uint64_t, uint64_t>{{1, slot_->id}}));
  std::filesystem::remove(path_);
  EXPECT_EQ(testing::ReadSome(*Read(), 0, 10), "data");
  catalog_.slots().Forget(slot_->id, 1);
  slot_.reset();
  EXPECT_EQ(keeper_.dropped, std::set<uint64_t>{1});
  EXPECT_EQ(catalog_.open_archives().open_files(), 0U);
}

TEST_F(ReadingTest, WhatGivesWayToOthersIsNotKept) {
  const testing::TempFolder folder;
  for (const auto* const name : {"a.skops", "b.skops", "c.skops"}) {
    testing::WriteFile(folder / name, testing::ArchiveOf("data"));
  }
  Catalog catalog(folder.path().string(), {.descriptors = 2},
                  std::make_unique<handover::SlotStore>(), &keeper_);
  const auto first = LookUp(catalog, "a.skops");
  catalog.Open(first);
  const auto second = LookUp(catalog, "b.skops");
  catalog.Open(second);
  const auto third = LookUp(catalog, "c.skops");
  catalog.Open(third);
  EXPECT_FALSE(first->file());
  EXPECT_EQ(keeper_.kept, (std::map<uint64_t, uint64_t>{{2, second->id}, {3, third->id}}));
}

TEST_F(ReadingTest, WhatCannotBeKeptNowIsKeptLater) {
  keeper_.is_full = true;
  Read();
  catalog_.Tidy();
  EXPECT_FALSE(SlotPeer(slot_).is_kept());
  keeper_.is_full = false;
  catalog_.Tidy();
  EXPECT_TRUE(SlotPeer(slot_).is_kept());
  catalog_.Tidy();
  EXPECT_EQ(keeper_.kept.size(), 1U);
}

TEST_F(ReadingTest, AMemberIsReadByOneReader) {
  EXPECT_EQ(catalog_.MemberOf(*slot_, kMember), nullptr);
  const auto reader = Read();
  EXPECT_EQ(Read(), reader) << "who comes second gets the first one's";
  EXPECT_EQ(catalog_.MemberOf(*slot_, kMember), reader);
  EXPECT_EQ(catalog_.MemberOf(*slot_, kMember + 1), nullptr);
}

TEST_F(ReadingTest, ReadingAgainIsUse) {
  testing::WriteFile(folder_ / "b.skops", testing::ArchiveOf("other"));
  const auto other = LookUp(catalog_, "b.skops");
  Read();
  testing::StartReading(catalog_, other, decoders_);
  EXPECT_EQ(catalog_.open_archives().LeastRecentlyRead()[0], slot_);
  catalog_.MemberOf(*slot_, kMember);
  EXPECT_EQ(catalog_.open_archives().LeastRecentlyRead()[0], other);
}

TEST_F(ReadingTest, OfVeryManyMembersAllBeginAnew) {
  constexpr uint32_t kMost = 4096;
  const auto open = catalog_.Open(slot_);
  const auto reader = Read();
  for (uint32_t i = 2; i <= kMost; ++i) catalog_.Read(*slot_, open, i, reader);
  EXPECT_EQ(SlotPeer(slot_).readers(), kMost);
  catalog_.Read(*slot_, open, kMost + 1, reader);
  EXPECT_EQ(SlotPeer(slot_).readers(), 1U);
  EXPECT_EQ(catalog_.MemberOf(*slot_, kMember), nullptr);
  EXPECT_EQ(testing::ReadSome(*reader, 0, 10), "data") << "who still has it reads on";
}

TEST_F(ReadingTest, AFileThatGaveWayMeanwhileIsTheVersionsAgain) {
  const auto open = catalog_.Open(slot_);
  SlotPeer(slot_).DropFile();
  catalog_.Read(*slot_, open, kMember, nullptr);
  EXPECT_EQ(slot_->file(), open.file);
  EXPECT_TRUE(SlotPeer(slot_).was_read());
}

TEST_F(ReadingTest, AReaderOfAnotherFileIsNotRemembered) {
  const auto open = catalog_.Open(slot_);
  SlotPeer(slot_).DropFile();
  const auto again = catalog_.Open(slot_);
  ASSERT_NE(again.file, open.file);
  catalog_.Read(*slot_, open, kMember, nullptr);
  EXPECT_EQ(slot_->file(), open.file) << "nothing was read of the other one";
  EXPECT_TRUE(SlotPeer(slot_).was_read());
  catalog_.Read(*slot_, again, kMember + 1, nullptr);
  EXPECT_EQ(slot_->file(), open.file);
  EXPECT_EQ(SlotPeer(slot_).readers(), 1U);
}

TEST_F(ReadingTest, WhatWasFoundWrongIsRefused) {
  Read();
  slot_->MemberFailed(kMember, "a bad disk", false);
  EXPECT_NE(catalog_.MemberOf(*slot_, kMember), nullptr) << "it may work the next time";
  slot_->MemberFailed(kMember, "a wrong sum", true);
  EXPECT_EQ(FailureOf([&] { catalog_.MemberOf(*slot_, kMember); }),
            std::to_string(EIO) + ": a wrong sum");
}

// --- letting go ---

TEST_F(ReadingTest, AFileWhoseFilesystemIsGoneIsOpenedAnew) {
  Read();
  const auto file = slot_->file();
  EXPECT_FALSE(catalog_.LetGoOfDead(*slot_, *file, EIO));
  EXPECT_EQ(slot_->file(), file) << "that may pass";
  EXPECT_TRUE(catalog_.LetGoOfDead(*slot_, *file, ENOTCONN));
  EXPECT_FALSE(slot_->file());
  EXPECT_EQ(SlotPeer(slot_).readers(), 0U);
  EXPECT_FALSE(SlotPeer(slot_).was_read());
  EXPECT_TRUE(keeper_.kept.empty());
  EXPECT_NE(catalog_.Open(slot_).file, file);
}

TEST_F(ReadingTest, WhatWasChangedInPlaceIsLetGoOfForEver) {
  Read();
  catalog_.LetGoOfChanged(*slot_);
  EXPECT_TRUE(slot_->file()) << "nothing has happened to it";
  testing::WaitForNewTime(path_);
  testing::Overwrite(path_, 0, "other");
  catalog_.LetGoOfChanged(*slot_);
  EXPECT_FALSE(slot_->file());
  EXPECT_TRUE(keeper_.kept.empty());
  EXPECT_EQ(catalog_.open_archives().open_files(), 0U);
  EXPECT_THAT(FailureOf([&] { catalog_.OpenKnown(slot_); }),
              HasSubstr("changed in place while it was open"));
}

TEST_F(ReadingTest, WhatWasReplacedIsNotChanged) {
  Read();
  testing::ReplaceFile(path_, testing::ArchiveOf("new"));
  catalog_.LetGoOfChanged(*slot_);
  EXPECT_EQ(MemberOf(catalog_.OpenKnown(slot_)), "data");
}

TEST_F(ReadingTest, LettingGoOfWhatIsNotOpenDoesNothing) {
  catalog_.LetGoOfChanged(*slot_);
  EXPECT_EQ(MemberOf(catalog_.Open(slot_)), "data");
}

// --- looking at what is open ---

TEST_F(ReadingTest, FoldersAndWhatIsNotOpenAreNotLookedAt) {
  std::filesystem::create_directories(folder_ / "sub");
  LookUp(catalog_, "sub");
  std::filesystem::remove(folder_ / "sub");
  std::filesystem::remove(path_);
  catalog_.LookAtOpenFiles();
  EXPECT_TRUE(catalog_.slots().Superseded().empty());
}

TEST_F(ReadingTest, TheNextVersionIsNoOldOne) {
  Read();
  testing::ReplaceFile(path_, testing::ArchiveOf("new"));
  const auto now = LookUp(catalog_, "a.skops");
  testing::StartReading(catalog_, now, decoders_);
  catalog_.LookAtOpenFiles();
  ASSERT_EQ(catalog_.slots().Superseded().size(), 1U);
  EXPECT_EQ(catalog_.slots().Superseded()[0], slot_);
  EXPECT_TRUE(catalog_.IsNamed(*now));
  EXPECT_FALSE(catalog_.IsNamed(*slot_));
}

// --- after a takeover ---

TEST_F(ReadingTest, WhatAPredecessorReadIsReadOn) {
  auto kept = Kept(7, slot_->id);
  std::filesystem::remove(path_);
  catalog_.Inherit(std::move(kept));
  EXPECT_TRUE(SlotPeer(slot_).was_read());
  EXPECT_EQ(catalog_.open_archives().open_files(), 1U);
  EXPECT_EQ(testing::ReadSome(*Read(), 0, 10), "data");
  EXPECT_TRUE(keeper_.kept.empty()) << "it is kept already";
  catalog_.LookAtOpenFiles();
  EXPECT_EQ(catalog_.slots().Superseded().size(), 1U);
  catalog_.slots().Forget(slot_->id, 1);
  slot_.reset();
  EXPECT_EQ(keeper_.dropped, std::set<uint64_t>{7});
  EXPECT_EQ(catalog_.open_archives().open_files(), 0U);
}

TEST_F(ReadingTest, WhatIsServedNoMoreIsNotInherited) {
  catalog_.Quarantine(slot_->identity, "it crashes workers");
  catalog_.Inherit(Kept(7, slot_->id));
  EXPECT_EQ(keeper_.dropped, std::set<uint64_t>{7});
  EXPECT_EQ(catalog_.open_archives().open_files(), 0U);
}

TEST_F(ReadingTest, WhatIsKeptOfASlotThatIsGoneIsDropped) {
  catalog_.Inherit(Kept(7, slot_->id + 1000));
  EXPECT_EQ(keeper_.dropped, std::set<uint64_t>{7});
  EXPECT_EQ(catalog_.open_archives().open_files(), 0U);
  catalog_.Inherit(Kept(8, slot_->id));
  catalog_.Inherit(Kept(9, slot_->id));
  EXPECT_EQ(keeper_.dropped, (std::set<uint64_t>{7, 9})) << "one is enough";
  EXPECT_EQ(catalog_.open_archives().open_files(), 1U);
}

}  // namespace
}  // namespace skopsfs::catalog
