#include "catalog/open_archives.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/archive_files.h"
#include "support/errors.h"
#include "support/slot_peer.h"
#include "unit/catalog/room_maker.h"

namespace skopsfs::catalog {
namespace {

using testing::ErrnoOf;
using File = std::shared_ptr<const archive::ArchiveFile>;
using Index = std::shared_ptr<const archive::ArchiveIndex>;

class OpenArchivesTest : public ::testing::Test {
 protected:
  OpenArchivesTest() { testing::WriteFile(path_, testing::ArchiveOf("data")); }

  void Start(const OpenArchives::Budget& budget, size_t slots) {
    open_ = std::make_unique<OpenArchives>(budget);
    for (size_t i = 0; i < slots; ++i) slots_.push_back(maker_.Make());
  }

  // As the catalogue opens the archive of a slot.
  File OpenFile(size_t i) {
    Slot& slot = *slots_[i];
    return slot.WhileOpening([&] {
      File file = slot.file();
      if (!file) {
        util::UniqueFd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
        file = open_->Adopt(std::move(fd), testing::StatOf(path_), slot);
        slot.SetFile(file);
      }
      open_->Used(slots_[i]);
      return file;
    });
  }
  Index OpenIndex(size_t i) {
    const File file = OpenFile(i);
    Slot& slot = *slots_[i];
    return slot.WhileOpening([&] {
      Index index = slot.open().index;
      if (!index) {
        index = open_->Adopt(std::make_unique<archive::ArchiveIndex>(*file, "a"), slot);
        slot.SetIndex(index);
      }
      open_->Used(slots_[i]);
      return index;
    });
  }

  // Which slots have a file, as a string of digits; which have an index.
  std::string Files() const {
    std::string digits;
    for (size_t i = 0; i < slots_.size(); ++i) digits += slots_[i]->file() ? std::to_string(i) : "";
    return digits;
  }
  std::string Indexes() const {
    std::string digits;
    for (size_t i = 0; i < slots_.size(); ++i) {
      digits += slots_[i]->open().index ? std::to_string(i) : "";
    }
    return digits;
  }

  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "a.skops";
  SlotMaker maker_;
  std::unique_ptr<OpenArchives> open_;
  std::vector<std::shared_ptr<Slot>> slots_;
};

TEST_F(OpenArchivesTest, CountsWhatIsOpen) {
  Start({.descriptors = 10}, 3);
  EXPECT_EQ(open_->open_files(), 0U);
  EXPECT_EQ(open_->index_bytes(), 0U);
  for (size_t i = 0; i < 3; ++i) OpenIndex(i);
  EXPECT_EQ(open_->open_files(), 3U);
  EXPECT_GT(open_->index_bytes(), 0U);
  const Index held = OpenIndex(1);
  const File held_file = OpenFile(1);
  slots_.clear();
  EXPECT_EQ(open_->open_files(), 1U) << "a handle holds one of them";
  EXPECT_EQ(open_->index_bytes(), held->memory_bytes());
}

TEST_F(OpenArchivesTest, LeastRecentlyUsedAreClosedFirst) {
  Start({.descriptors = 4}, 6);
  for (size_t i = 0; i < 4; ++i) OpenFile(i);
  EXPECT_EQ(Files(), "0123");
  OpenFile(0);
  OpenFile(4);
  EXPECT_EQ(Files(), "0234");
  OpenFile(5);
  EXPECT_EQ(Files(), "0345");
  EXPECT_EQ(open_->open_files(), 4U);
  OpenFile(1);
  EXPECT_EQ(Files(), "0145") << "0 was used after 3";
}

TEST_F(OpenArchivesTest, AnEighthGoesAtATime) {
  Start({.descriptors = 32}, 33);
  for (size_t i = 0; i < 33; ++i) OpenFile(i);
  EXPECT_EQ(open_->open_files(), 29U);
  for (size_t i = 0; i < 4; ++i) EXPECT_FALSE(slots_[i]->file()) << i;
}

TEST_F(OpenArchivesTest, HeldFilesStay) {
  Start({.descriptors = 3}, 5);
  const File first = OpenFile(0);
  OpenFile(1);
  const File third = OpenFile(2);
  OpenFile(3);
  EXPECT_EQ(Files(), "023");
  OpenFile(4);
  EXPECT_EQ(Files(), "024");
  EXPECT_EQ(slots_[0]->file(), first);
}

TEST_F(OpenArchivesTest, AllHeld) {
  Start({.descriptors = 2}, 3);
  const testing::RoomMaker nothing_goes(*open_);
  File first = OpenFile(0);
  const File second = OpenFile(1);
  EXPECT_EQ(ErrnoOf([&] { OpenFile(2); }), ENFILE);
  EXPECT_EQ(open_->open_files(), 2U);
  first.reset();
  EXPECT_EQ(ErrnoOf([&] { OpenFile(2); }), 0);
  EXPECT_EQ(Files(), "12");
}

TEST_F(OpenArchivesTest, AHeldFileCountsWhenItsSlotIsGone) {
  Start({.descriptors = 1}, 2);
  const testing::RoomMaker nothing_goes(*open_);
  File held = OpenFile(0);
  SlotPeer(slots_[0]).DropFile();
  EXPECT_EQ(ErrnoOf([&] { OpenFile(1); }), ENFILE);
  held.reset();
  EXPECT_EQ(ErrnoOf([&] { OpenFile(1); }), 0);
}

TEST_F(OpenArchivesTest, ASlotInUseThisMomentIsLeftAlone) {
  Start({.descriptors = 2}, 3);
  OpenFile(0);
  OpenFile(1);
  {
    // Another thread has it: try_lock on a mutex of one's own is not defined.
    const std::lock_guard lock(SlotPeer(slots_[0]).mutex());
    std::thread([&] { OpenFile(2); }).join();
  }
  EXPECT_EQ(Files(), "02");
}

TEST_F(OpenArchivesTest, IndexesAreBoundedToo) {
  Start({.descriptors = 100}, 10);
  const size_t one = OpenIndex(0)->memory_bytes();
  slots_.clear();
  Start({.descriptors = 100, .idle_index_bytes = 4 * one + one / 2}, 10);
  for (size_t i = 0; i < 4; ++i) OpenIndex(i);
  EXPECT_EQ(Indexes(), "0123");
  OpenIndex(0);
  OpenIndex(4);
  // Down to an eighth below the bound, least recently used first, files untouched.
  EXPECT_EQ(Indexes(), "034");
  EXPECT_EQ(Files(), "01234");
  EXPECT_EQ(open_->index_bytes(), 3 * one);
}

TEST_F(OpenArchivesTest, HeldIndexesStayAndTheBoundIsSoft) {
  Start({.descriptors = 100, .idle_index_bytes = 1}, 3);
  const Index first = OpenIndex(0);
  const Index second = OpenIndex(1);
  EXPECT_EQ(Indexes(), "01");
  OpenIndex(2);
  EXPECT_EQ(Indexes(), "012") << "what is being opened is never given up";
  EXPECT_EQ(open_->index_bytes(), 3 * first->memory_bytes());
}

TEST_F(OpenArchivesTest, NoMoreIndexesInUseThanThereIsMemoryFor) {
  Start({.descriptors = 100}, 1);
  const size_t one = OpenIndex(0)->memory_bytes();
  slots_.clear();
  Start({.descriptors = 100, .idle_index_bytes = 1, .index_bytes = 2 * one}, 4);
  Index first = OpenIndex(0);
  const Index second = OpenIndex(1);
  EXPECT_EQ(ErrnoOf([&] { OpenIndex(2); }), ENOMEM);
  EXPECT_EQ(open_->index_bytes(), 2 * one) << "the one refused is gone";
  first.reset();
  EXPECT_EQ(OpenIndex(2)->memory_bytes(), one) << "the idle one has made room";
  EXPECT_EQ(Indexes(), "12");
}

TEST_F(OpenArchivesTest, HugeDirectoriesTakeTurns) {
  constexpr uint64_t kSize = 8 << 20;
  Start({}, 0);
  std::atomic<int> reading = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const auto turn = open_->LockIfHuge(kSize);
        EXPECT_EQ(++reading, 1);
        std::this_thread::yield();
        --reading;
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST_F(OpenArchivesTest, SmallDirectoriesWaitForNone) {
  Start({}, 0);
  const auto largest = open_->LockIfHuge(UINT64_MAX);
  const auto small = open_->LockIfHuge(1000);  // would wait for ever
  EXPECT_FALSE(small.owns_lock());
}

TEST_F(OpenArchivesTest, WhatIsIdleStaysOpen) {
  Start({.descriptors = 10}, 2);
  OpenIndex(0);
  OpenFile(1);
  for (int i = 0; i < 10; ++i) open_->Tidy();
  EXPECT_EQ(Files(), "01");
  EXPECT_EQ(Indexes(), "0");
}

TEST_F(OpenArchivesTest, OfVeryManyThatNobodyReadAThousandStayOpen) {
  constexpr size_t kMost = 1000;
  Start({.descriptors = 2 * kMost}, kMost + 5);
  for (size_t i = 0; i < slots_.size(); ++i) OpenFile(i);
  slots_[2]->Inherit(slots_[2]->file(), nullptr);
  EXPECT_EQ(open_->open_files(), kMost + 5);
  open_->Tidy();
  EXPECT_EQ(open_->open_files(), kMost);
  for (size_t i = 0; i < slots_.size(); ++i) {
    EXPECT_EQ(slots_[i]->file() != nullptr, i == 2 || i >= 6) << i;
  }
}

// It cannot.
class FullKeeper : public DescriptorStore {
 public:
  uint64_t Keep(uint64_t slot_id, int) noexcept override {
    EXPECT_TRUE(asked.insert(slot_id).second);
    return 0;
  }
  void Drop(uint64_t) noexcept override {}

  std::set<uint64_t> asked;
};

TEST_F(OpenArchivesTest, TidyHasAKeeperKeepWhatIsOpen) {
  Start({.descriptors = 10}, 4);
  OpenFile(0);
  OpenIndex(2);
  const auto asked = [&] {
    FullKeeper keeper;
    open_->Tidy(&keeper);
    return keeper.asked;
  };
  EXPECT_EQ(asked(), (std::set<uint64_t>{1, 3}));
  EXPECT_EQ(open_->Slots().size(), 2U);
  SlotPeer(slots_[0]).DropFile();
  slots_[2].reset();
  EXPECT_EQ(asked(), std::set<uint64_t>{}) << "neither is open any more";
  EXPECT_EQ(open_->Slots().size(), 0U);
}

TEST_F(OpenArchivesTest, SlotsMayGoAtAnyTime) {
  Start({.descriptors = 2}, 6);
  for (size_t i = 0; i < 6; ++i) {
    OpenIndex(i);
    slots_[i] = maker_.Make();
  }
  EXPECT_EQ(open_->open_files(), 0U);
  EXPECT_EQ(open_->index_bytes(), 0U);
  open_->Tidy();
}

TEST_F(OpenArchivesTest, FilesMayOutliveIt) {
  Start({.descriptors = 2}, 1);
  File file = OpenFile(0);
  Index index = OpenIndex(0);
  open_.reset();
  EXPECT_EQ(index->node_count(), 2U);
  index.reset();
  file.reset();
}

TEST_F(OpenArchivesTest, FromManyThreads) {
  constexpr size_t kThreads = 8;
  constexpr size_t kDescriptors = 12;
  Start({.descriptors = kDescriptors, .idle_index_bytes = 2000}, 40);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 400; ++i) {
        // Never all of them are held, so each must get one.
        EXPECT_EQ(testing::FailureOf([&] {
                    const Index index = OpenIndex((i * (t + 1) + t) % slots_.size());
                    EXPECT_EQ(index->node_count(), 2U);
                  }),
                  "");
        // Each thread may be past the check before another one counts its descriptor.
        EXPECT_LE(open_->open_files(), kDescriptors + kThreads);
        if (i % 50 == 0) open_->Tidy();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  slots_.clear();
  EXPECT_EQ(open_->open_files(), 0U);
  EXPECT_EQ(open_->index_bytes(), 0U);
}

}  // namespace
}  // namespace skopsfs::catalog
