#include "catalog/archive_summary.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "support/slot_peer.h"

namespace skopsfs::catalog {
namespace {

using State = ArchiveStatus::State;

std::vector<std::shared_ptr<Slot>> FailedSlots(SlotMaker& maker, size_t count) {
  std::vector<std::shared_ptr<Slot>> slots;
  for (size_t i = 0; i < count; ++i) {
    slots.push_back(maker.Make());
    slots.back()->CloseUnread(util::Error(EIO, "broken"));
  }
  return slots;
}

TEST(ArchiveSummary, OneInUseThisMomentIsOpen) {
  SlotMaker maker;
  const auto slots = FailedSlots(maker, 2);
  const std::lock_guard lock(SlotPeer(slots[0]).mutex());
  std::thread([&] {
    const auto summary = SummarizeArchives(slots, 10);
    EXPECT_EQ(summary.open, 1U);
    EXPECT_EQ(summary.failed, 1U);
    ASSERT_EQ(summary.archives.size(), 2U);
    EXPECT_EQ(summary.archives[0].state, State::kFailed);
    EXPECT_EQ(summary.archives[0].reason, "broken");
    EXPECT_EQ(summary.archives[1].state, State::kOpen);
  }).join();
}

// Each time, one comes into use at another moment while they are counted, and is in use until they
// have been.
TEST(ArchiveSummary, WaitsForNone) {
  SlotMaker maker;
  const auto slots = FailedSlots(maker, 50);
  for (int i = 0; i < 1000; ++i) {
    std::atomic<bool> begun = false;
    std::atomic<bool> counted = false;
    std::thread user([&] {
      while (!begun) std::this_thread::yield();
      for (int pause = 0; pause < i * 20; ++pause) begun.load();
      const std::lock_guard lock(SlotPeer(slots.back()).mutex());
      while (!counted) std::this_thread::yield();
    });
    begun = true;
    SummarizeArchives(slots, 50);
    counted = true;
    user.join();
  }
}

}  // namespace
}  // namespace skopsfs::catalog
