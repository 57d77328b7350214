#include "handover/slot_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support/errors.h"
#include "support/log_capture.h"

namespace skopsfs::handover {
namespace {

using ::testing::ElementsAre;
using testing::ErrnoOf;

struct stat As(mode_t type, int64_t size = 10) {
  struct stat st {};
  st.st_mode = type | 0644;
  st.st_size = size;
  return st;
}

class SlotStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<SlotStore> Open() const {
    return std::make_unique<SlotStore>(util::UniqueFd(dup(memory_.get())));
  }
  // A new store on the same memory, as a successor has it: the names of what it finds.
  std::vector<std::string> Names() {
    store_ = Open();
    std::vector<std::string> names;
    for (const auto* record : store_->Recover()) names.emplace_back(record->Name());
    return names;
  }
  SlotRecord* Add(uint64_t parent, const std::string& name, mode_t type = S_IFREG) {
    return store_->Add(parent, name, As(type));
  }

  const testing::LogCapture log_;
  const util::UniqueFd memory_ = SlotStore::MakeMemory();
  std::unique_ptr<SlotStore> store_ = Open();
};

TEST_F(SlotStoreTest, ASuccessorFindsWhatIsThere) {
  const uint64_t folder = Add(0, "folder", S_IFDIR)->id;
  auto* archive = Add(folder, "a.skops");
  archive->lookups = 7;
  archive->index_mark = 99;
  auto* gone = Add(0, "gone.skops");
  const uint64_t last = gone->id;
  store_->Remove(gone);
  EXPECT_THAT(Names(), ElementsAre("folder", "a.skops"));
  const auto successor = Open();
  const auto records = successor->Recover();
  EXPECT_EQ(records[1]->lookups, 7U);
  EXPECT_EQ(records[1]->index_mark, 99U);
  EXPECT_EQ(records[1]->parent, folder);
  EXPECT_EQ(records[1]->st.st_size, 10);
  EXPECT_GT(Add(0, "new.skops")->id, last) << "ids are never used again";
}

TEST_F(SlotStoreTest, ARecordUsedAgainKnowsNothingOfTheOneBefore) {
  auto* record = Add(0, "a.skops");
  const SlotRecord* const place = record;
  record->superseded = 1;
  record->index_mark = record->names_mark = 99;
  record->members = record->names = record->npz = 1000;
  store_->Remove(record);
  record = Add(0, "b.skops");
  ASSERT_EQ(record, place);
  EXPECT_EQ(record->superseded, 0U);
  EXPECT_EQ(record->lookups, 1U);
  EXPECT_EQ(record->index_mark, 0U);
  EXPECT_EQ(record->names_mark, 0U);
  EXPECT_EQ(record->members, 0U);
  EXPECT_EQ(record->names, 0U);
  EXPECT_EQ(record->npz, 0U);
}

TEST_F(SlotStoreTest, ASuccessorKnowsHowManyNodesThereMayBe) {
  auto* record = Add(0, "a.skops");
  record->members = 7;
  record->names = 8;
  record->npz = 9;
  const auto successor = Open();
  const auto records = successor->Recover();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0]->members, 7U);
  EXPECT_EQ(records[0]->names, 8U);
  EXPECT_EQ(records[0]->npz, 9U);
}

TEST_F(SlotStoreTest, ParentsComeFirst) {
  auto* place = Add(0, "x");
  const auto* folder = Add(0, "folder", S_IFDIR);
  store_->Remove(place);
  Add(folder->id, "inside");  // takes the place before the folder's
  EXPECT_THAT(Names(), ElementsAre("folder", "inside"));
}

TEST_F(SlotStoreTest, HalfWrittenRecordsAreFree) {
  auto* record = Add(0, "half.skops");
  record->state = 0;
  EXPECT_THAT(Names(), ElementsAre());
  EXPECT_EQ(Add(0, "new.skops")->id, 1U + SlotStore::kMostSlots);
  EXPECT_THAT(Names(), ElementsAre("new.skops"));
}

TEST_F(SlotStoreTest, WhatIsHeldIsNotRemoved) {
  auto* record = Add(0, "a.skops");
  store_->Hold();
  store_->Remove(record);
  EXPECT_THAT(Names(), ElementsAre("a.skops"));
}

TEST_F(SlotStoreTest, DamagedRecordsAreLeftOut) {
  const auto damage = std::vector<std::function<void(SlotRecord&)>>{
      [](auto& record) { record.id = 0; },
      [](auto& record) { record.id = 1'000'000; },
      [](auto& record) { record.id = UINT64_MAX; },
      [](auto& record) { record.id += SlotStore::kMostSlots / 2; },
      [](auto& record) { record.made = 0; },
      [](auto& record) { record.made = 1'000'000; },
      [](auto& record) { record.parent = record.id; },
      [](auto& record) { record.parent = 1000; },
      [](auto& record) { record.name_size = UINT32_MAX; },
      [](auto& record) { record.name[0] = '/'; },
      [](auto& record) { record.name[0] = '\0'; },
      [](auto& record) { std::memcpy(record.name, "..", record.name_size = 2); },
      [](auto& record) { record.st.st_mode = S_IFIFO; },
  };
  for (const auto& change : damage) {
    Add(0, "good.skops");
    change(*Add(0, "bad.skops"));
    EXPECT_THAT(Names(), ElementsAre("good.skops"));
    store_->Remove(store_->Recover().front());
  }
  EXPECT_EQ(log_.texts().front(), "1 damaged records of slots were left out");
}

TEST_F(SlotStoreTest, TheSameIdTwiceAndChainsWithoutEnd) {
  Add(0, "one.skops");
  Add(0, "two.skops")->id = 1;
  EXPECT_EQ(Names().size(), 1U);
  uint64_t parent = 0;
  for (int i = 0; i < 3000; ++i) parent = Add(parent, "d", S_IFDIR)->id;
  EXPECT_EQ(Names().size(), 2049U);
}

TEST_F(SlotStoreTest, MemoryOfAnotherKind) {
  util::UniqueFd other(memfd_create("other", MFD_CLOEXEC));
  EXPECT_EQ(ErrnoOf([&] { SlotStore(util::UniqueFd(dup(other.get()))); }), EPROTO);
  const uint64_t magic = 42;
  ASSERT_EQ(pwrite(memory_.get(), &magic, sizeof(magic), 0), 8);
  EXPECT_EQ(ErrnoOf([&] { Open(); }), EPROTO);
}

TEST_F(SlotStoreTest, TheMemoryCannotBeShrunk) { EXPECT_NE(ftruncate(memory_.get(), 0), 0); }

TEST_F(SlotStoreTest, ReadWithoutMapping) {
  const auto* folder = Add(0, "folder", S_IFDIR);
  const auto* archive = Add(folder->id, "a.skops");
  const auto seen = SlotStore::Read(memory_.get(), archive->id);
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->path, "folder/a.skops");
  EXPECT_EQ(seen->identity.size, 10U);
  EXPECT_FALSE(SlotStore::Read(memory_.get(), 1000));
  EXPECT_FALSE(SlotStore::Read(memory_.get(), 0)) << "the source is a folder";
  Add(0, "")->superseded = 1;
  Add(0, "")->st.st_size = 77;
  EXPECT_EQ(SlotStore::Read(memory_.get(), 0)->identity.size, 77U) << "the present version";
}

TEST_F(SlotStoreTest, ReadingEndsWhateverTheRecordsSay) {
  auto* one = Add(0, "one", S_IFDIR);
  auto* other = Add(one->id, "other", S_IFDIR);
  one->parent = other->id;
  EXPECT_EQ(SlotStore::Read(memory_.get(), one->id)->path.size(), 64 / 2 * 10 + 3U);
  one->name_size = UINT32_MAX;
  EXPECT_LT(SlotStore::Read(memory_.get(), one->id)->path.size(), 5000U);
  one->parent = UINT64_MAX;
  EXPECT_TRUE(SlotStore::Read(memory_.get(), one->id));
  one->id = UINT64_MAX;
  EXPECT_FALSE(SlotStore::Read(memory_.get(), UINT64_MAX));
}

TEST_F(SlotStoreTest, RecordsNeverUsedWhoseIdsAreDamagedAreLeftOut) {
  const uint64_t first = Add(0, "first.skops")->id;
  SlotRecord* const records = Add(0, "second.skops") + 1;
  records[0].id = 1;  // another one's
  records[1].id = SlotStore::kMostIds + 1;
  EXPECT_EQ(Add(0, "third.skops")->id, first + 4);
  records[3].id = UINT64_MAX;
  store_ = Open();
  store_->Recover();
  EXPECT_EQ(Add(0, "fourth.skops")->id, first + 6);
}

TEST_F(SlotStoreTest, AnIdThatIsDamagedIsNotGivenAgain) {
  for (const bool is_live : {true, false}) {
    auto* record = Add(0, "a.skops");
    store_->Remove(record);
    record = Add(0, "b.skops");
    const uint64_t last = record->id;
    if (!is_live) store_->Remove(record);
    record->id -= SlotStore::kMostSlots;  // one that it had before
    EXPECT_THAT(Names(), ::testing::IsEmpty());
    record = Add(0, "c.skops");
    EXPECT_NE(record->id, last);
    EXPECT_NE(record->id, last - SlotStore::kMostSlots);
    store_->Remove(record);
  }
}

TEST_F(SlotStoreTest, ARecordWithoutIdsLeftIsNotUsedAgain) {
  auto* record = Add(0, "a.skops");
  record->SetId(record->id + (SlotStore::kMostIds / SlotStore::kMostSlots) * SlotStore::kMostSlots);
  const uint64_t last = record->id;
  EXPECT_LE(last, SlotStore::kMostIds);
  store_->Remove(record);
  EXPECT_EQ(Add(0, "b.skops")->id, 2U);
}

}  // namespace
}  // namespace skopsfs::handover
