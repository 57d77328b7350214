// Room for archives when descriptors run short: what gives way, and who waits for it.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "catalog/open_archives.h"
#include "support/archive_files.h"
#include "support/errors.h"
#include "support/slot_peer.h"
#include "unit/catalog/room_maker.h"

namespace skopsfs::catalog {
namespace {

using ::testing::ElementsAre;
using testing::ErrnoOf;
using testing::FailureOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RoomMaker;
using File = std::shared_ptr<const archive::ArchiveFile>;
using std::chrono::milliseconds;
using std::chrono::seconds;

class RoomTest : public ::testing::Test {
 protected:
  RoomTest() {
    testing::WriteFile(path_, testing::ArchiveOf("data"));
    for (int i = 0; i < 8; ++i) slots_.push_back(maker_.Make());
  }

  File Adopt(const std::shared_ptr<Slot>& slot) {
    util::UniqueFd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    return open_.Adopt(std::move(fd), testing::StatOf(path_), *slot);
  }
  void Open(size_t i, bool is_read) { Open(slots_[i], is_read); }
  // As the catalogue does; the file of a slot is there before anybody else can close it.
  void Open(const std::shared_ptr<Slot>& slot, bool is_read) {
    auto file = Adopt(slot);
    is_read ? slot->Inherit(std::move(file), nullptr) : slot->SetFile(std::move(file));
    open_.Used(slot);
  }
  // Which slots are there and have a file.
  std::string Files() const {
    std::string digits;
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i] && slots_[i]->file()) digits += std::to_string(i);
    }
    return digits;
  }
  std::vector<uint64_t> LeastRecentlyRead() {
    std::vector<uint64_t> ids;
    for (const auto& slot : open_.LeastRecentlyRead()) ids.push_back(slot->id - 1);
    return ids;
  }
  static bool Waits(const std::future<void>& done) {
    return done.wait_for(milliseconds(20)) == std::future_status::timeout;
  }

  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "a.skops";
  OpenArchives open_{{.descriptors = 4}};
  SlotMaker maker_;
  std::vector<std::shared_ptr<Slot>> slots_;
};

TEST_F(RoomTest, FilesThatNobodyReadGiveWayTheLeastRecentlyUsedFirst) {
  for (size_t i = 0; i < 4; ++i) Open(i, i == 0);
  open_.UsedAgain(*slots_[1]);
  Open(4, false);
  EXPECT_EQ(Files(), "0134") << "0 was read, 1 was used after 2";
  Open(5, false);
  EXPECT_EQ(Files(), "0145");
}

TEST_F(RoomTest, OneThatWasReadIsNeverClosedByNeed) {
  for (size_t i = 0; i < 4; ++i) Open(i, true);
  const RoomMaker nothing_goes(open_);
  const auto failure = FailureOf([&] { Open(4, false); });
  EXPECT_THAT(failure,
              HasSubstr(std::to_string(ENFILE) +
                        ": all 4 descriptors for archives are held by open or mapped files"));
  EXPECT_EQ(Files(), "0123");
  EXPECT_EQ(open_.open_files(), 4U);
  // All were asked for at least once more after somebody began to wait.
  EXPECT_GE(nothing_goes.rounds(), 2);
}

TEST_F(RoomTest, TheLeastRecentlyReadIsAskedForFirst) {
  for (size_t i = 0; i < 4; ++i) Open(i, i != 2);
  EXPECT_THAT(LeastRecentlyRead(), ElementsAre(0, 1, 3));
  open_.UsedAgain(*slots_[0]);
  EXPECT_THAT(LeastRecentlyRead(), ElementsAre(1, 3, 0));
  open_.WasAskedFor(*slots_[1]);
  EXPECT_THAT(LeastRecentlyRead(), ElementsAre(3, 0, 1));
  for (int i = 0; i < 10; ++i) open_.UsedAgain(*slots_[3]);
  EXPECT_THAT(LeastRecentlyRead(), ElementsAre(0, 3, 1)) << "the one in use is asked for last";
  const std::lock_guard lock(SlotPeer(slots_[0]).mutex());
  std::thread([&] { EXPECT_THAT(LeastRecentlyRead(), ElementsAre(3, 1)); }).join();
}

TEST_F(RoomTest, WhoNeedsRoomGetsItWhenASlotGoes) {
  for (size_t i = 0; i < 4; ++i) Open(i, true);
  std::vector<uint64_t> asked;
  const RoomMaker drops(open_, [&](const std::shared_ptr<Slot>& slot) {
    asked.push_back(slot->id - 1);
    if (slot->id - 1 >= 2) slots_[slot->id - 1].reset();
  });
  Open(4, true);
  EXPECT_EQ(Files(), "0134");
  EXPECT_THAT(asked, ElementsAre(0, 1, 2)) << "no more than it takes";
  Open(5, true);
  EXPECT_EQ(Files(), "0145");
  EXPECT_THAT(asked, ElementsAre(0, 1, 2, 3)) << "those in use have their turn later";
}

// Many threads need room at once, each more than there is.
TEST_F(RoomTest, ManyWaitAndAllGetRoom) {
  const RoomMaker drops(
      open_, [&](const std::shared_ptr<Slot>& slot) { slot->Close(*slot->file(), std::nullopt); });
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < 100; ++i) {
        const auto slot = maker_.Make();
        EXPECT_EQ(ErrnoOf([&] { Open(slot, true); }), 0);
        EXPECT_LE(open_.open_files(), 4U);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(open_.open_files(), 0U);
}

TEST_F(RoomTest, WaitingForAShortageEndsWithThePeriodOrTheThread) {
  std::stop_source stop;
  EXPECT_FALSE(open_.WaitForShortage(stop.get_token(), milliseconds(1)));
  EXPECT_TRUE(open_.WaitForRoom(milliseconds(0))) << "nobody waits for any";
  stop.request_stop();
  EXPECT_FALSE(open_.WaitForShortage(stop.get_token(), seconds(600)));
}

TEST_F(RoomTest, AShortageIsSeenWhileSomebodyWaits) {
  for (size_t i = 0; i < 4; ++i) Open(i, true);
  auto done = std::async(std::launch::async, [&] { Open(4, true); });
  EXPECT_TRUE(open_.WaitForShortage({}, seconds(600)));
  EXPECT_FALSE(open_.WaitForRoom(milliseconds(1)));
  // A round that began before it waited does not count.
  open_.NoRoomIsLeft();
  EXPECT_TRUE(Waits(done));
  slots_[3].reset();
  done.get();
  EXPECT_TRUE(open_.WaitForRoom(milliseconds(0)));
  EXPECT_EQ(Files(), "0124");
}

// --- who closes files ---

TEST_F(RoomTest, WithoutACloserWhoLetsGoCloses) {
  Open(0, true);
  slots_[0].reset();
  EXPECT_EQ(open_.open_files(), 0U);
}

TEST_F(RoomTest, TheCloserClosesOnItsThreadAndToItsEnd) {
  for (size_t i = 0; i < 4; ++i) Open(i, true);
  // Between two calls nobody closes, but it is there and will.
  open_.CloseFor({}, milliseconds(0));
  slots_[0].reset();
  slots_[1].reset();
  EXPECT_EQ(open_.open_files(), 4U) << "what is let go of waits for the closer";
  open_.CloseFor({}, milliseconds(0));
  EXPECT_EQ(open_.open_files(), 2U);
  slots_[2].reset();
  std::stop_source stop;
  stop.request_stop();
  open_.CloseFor(stop.get_token(), seconds(600));
  EXPECT_EQ(open_.open_files(), 1U) << "what was left is closed before it ends";
  slots_[3].reset();
  EXPECT_EQ(open_.open_files(), 0U) << "there is no closer any more";
}

TEST_F(RoomTest, WhoNeedsRoomWaitsForTheCloser) {
  open_.CloseFor({}, milliseconds(0));
  for (size_t i = 0; i < 4; ++i) Open(i, false);
  // The one that gives way is not closed by who needs its room.
  auto done = std::async(std::launch::async, [&] { Open(4, false); });
  while (Waits(done) && Files() != "123") continue;  // its thread may begin late
  EXPECT_TRUE(Waits(done));
  EXPECT_FALSE(open_.WaitForShortage({}, milliseconds(1))) << "there will be room without more";
  EXPECT_TRUE(open_.WaitForRoom(milliseconds(0)));
  EXPECT_EQ(Files(), "123") << "no more give way than it takes";
  EXPECT_EQ(open_.open_files(), 4U);
  std::jthread closer([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) open_.CloseFor(stop, seconds(600));
  });
  done.get();
  EXPECT_EQ(open_.open_files(), 4U);
}

// Who asks the next time does not wait for long, but asks.
TEST_F(RoomTest, ThatThereWasNoRoomIsKnownUntilSomethingIsClosed) {
  for (size_t i = 0; i < 4; ++i) Open(i, true);
  EXPECT_FALSE(open_.WasInVain());
  open_.NoRoomIsLeft();
  EXPECT_TRUE(open_.WasInVain());
  auto done = std::async(std::launch::async, [&] { Open(4, true); });
  EXPECT_TRUE(Waits(done));
  slots_[0].reset();
  done.get();
  EXPECT_FALSE(open_.WasInVain());
  EXPECT_EQ(Files(), "1234");
}

TEST_F(RoomTest, OneInheritedIsNotRefused) {
  for (size_t i = 0; i < 4; ++i) Open(i, true);
  util::UniqueFd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  const auto file = open_.AdoptInherited(std::move(fd), testing::StatOf(path_));
  EXPECT_EQ(open_.open_files(), 5U);
}

}  // namespace
}  // namespace skopsfs::catalog
