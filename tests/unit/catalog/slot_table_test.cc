#include "catalog/slot_table.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace skopsfs::catalog {
namespace {

struct stat FileOf(uint64_t inode, int64_t size = 10, mode_t mode = 0644) {
  struct stat st {};
  st.st_mode = S_IFREG | mode;
  st.st_dev = 5;
  st.st_ino = inode;
  st.st_size = size;
  return st;
}

struct stat Folder(uint64_t inode) {
  struct stat st = FileOf(inode);
  st.st_mode = S_IFDIR | 0755;
  return st;
}

class SlotTableTest : public ::testing::Test {
 protected:
  static std::shared_ptr<Slot> Root() { return std::make_shared<Slot>(Folder(0), true); }

  std::shared_ptr<Slot> Acquire(const std::string& name, const struct stat& st) {
    return Acquire(table_.root(), name, st);
  }
  std::shared_ptr<Slot> Acquire(const std::shared_ptr<Slot>& parent, const std::string& name,
                                const struct stat& st) {
    return table_.Acquire(parent, name, st);
  }

  handover::SlotStore store_;
  SlotTable table_{Root(), store_};
};

TEST_F(SlotTableTest, RootIsThereAndNeverLeaves) {
  EXPECT_EQ(table_.root()->id, 0U);
  EXPECT_EQ(table_.Get(0), table_.root());
  table_.Forget(0, 1);
  table_.Forget(0, UINT64_MAX);
  EXPECT_EQ(table_.Get(0), table_.root());
  EXPECT_EQ(table_.All().size(), 1U);
}

TEST_F(SlotTableTest, ANewSlotSaysWhatItIsOf) {
  const auto folder = Acquire("folder", Folder(1));
  const auto archive = Acquire(folder, "a.skops", FileOf(2, 77));
  EXPECT_TRUE(folder->is_folder);
  EXPECT_EQ(folder->path, "folder");
  EXPECT_EQ(folder->parent, table_.root());
  EXPECT_FALSE(archive->is_folder);
  EXPECT_EQ(archive->name, "a.skops");
  EXPECT_EQ(archive->path, "folder/a.skops");
  EXPECT_EQ(archive->parent, folder);
  EXPECT_EQ(archive->identity, handover::IdentityOf(FileOf(2, 77)));
  EXPECT_EQ(archive->st.st_size, 77);
  EXPECT_EQ(archive->record->lookups, 1U);
  EXPECT_FALSE(archive->superseded);
  EXPECT_EQ(table_.Get(folder->id), folder);
  EXPECT_EQ(table_.Get(archive->id), archive);
  EXPECT_EQ(table_.Get(archive->id + 1), nullptr);
  EXPECT_NE(archive->id, folder->id);
}

TEST_F(SlotTableTest, TheSameVersionIsTheSameSlot) {
  const auto slot = Acquire("a.skops", FileOf(1));
  EXPECT_EQ(Acquire("a.skops", FileOf(1)), slot);
  EXPECT_EQ(slot->record->lookups, 2U);
  EXPECT_EQ(table_.All().size(), 2U);
}

TEST_F(SlotTableTest, OtherNamesAndFoldersAreOtherSlots) {
  const auto folder = Acquire("folder", Folder(9));
  const auto slot = Acquire("a.skops", FileOf(1));
  EXPECT_NE(Acquire("b.skops", FileOf(1)), slot);
  EXPECT_NE(Acquire(folder, "a.skops", FileOf(1)), slot);
  EXPECT_FALSE(slot->superseded);
}

TEST_F(SlotTableTest, EachChangeOfAnArchiveIsANewSlot) {
  struct stat st = FileOf(1);
  auto last = Acquire("a.skops", st);
  std::set<uint64_t> ids = {last->id};
  const std::vector<std::function<void()>> changes = {
      [&] { st.st_ino = 2; },         [&] { st.st_dev = 6; },
      [&] { st.st_size = 11; },       [&] { st.st_mtim.tv_nsec = 1; },
      [&] { st.st_mtim.tv_sec = 1; }, [&] { st.st_ctim.tv_nsec = 1; },
      [&] { st.st_mode |= S_IXUSR; }, [&] { st.st_mode = S_IFDIR | 0755; },
      [&] { st.st_mode = S_IFREG; }};
  for (const auto& change : changes) {
    change();
    const auto slot = Acquire("a.skops", st);
    EXPECT_NE(slot, last);
    EXPECT_TRUE(last->superseded);
    EXPECT_FALSE(slot->superseded);
    EXPECT_TRUE(ids.insert(slot->id).second) << "an id was used again";
    EXPECT_EQ(table_.Get(last->id), last) << "the kernel still holds the old version";
    last = slot;
  }
}

TEST_F(SlotTableTest, AFolderIsItsDeviceAndInode) {
  struct stat st = Folder(1);
  const auto slot = Acquire("folder", st);
  st.st_mtim.tv_sec = 5;
  st.st_ctim.tv_sec = 5;
  st.st_size = 4711;
  st.st_mode = S_IFDIR | 0700;
  EXPECT_EQ(Acquire("folder", st), slot);
  st.st_ino = 2;
  EXPECT_NE(Acquire("folder", st), slot);
  EXPECT_TRUE(slot->superseded);
}

TEST_F(SlotTableTest, AVersionThatComesBackIsANewSlot) {
  const auto first = Acquire("a.skops", FileOf(1));
  const auto second = Acquire("a.skops", FileOf(2));
  const auto third = Acquire("a.skops", FileOf(1));
  EXPECT_NE(third, first);
  EXPECT_TRUE(second->superseded);
  EXPECT_EQ(std::set({first->id, second->id, third->id}).size(), 3U);
}

TEST_F(SlotTableTest, ANameThatVanishesAndComesBack) {
  const auto slot = Acquire("a", FileOf(1));
  EXPECT_EQ(table_.Current(0, "b"), nullptr);
  EXPECT_FALSE(slot->superseded);
  table_.Supersede(*table_.Current(0, "a"));
  EXPECT_TRUE(slot->superseded);
  EXPECT_EQ(slot->record->superseded, 1U);
  EXPECT_EQ(Acquire("a", FileOf(1)), slot);
  EXPECT_FALSE(slot->superseded);
  EXPECT_EQ(slot->record->superseded, 0U);
}

TEST_F(SlotTableTest, SupersededAreThoseWhoseNamesLeadToOthers) {
  const auto superseded = [&] {
    std::set<std::string> names;
    for (const auto& slot : table_.Superseded()) names.insert(slot->name);
    return names;
  };
  using Names = std::set<std::string>;
  const auto a = Acquire("a", FileOf(1));
  const auto b = Acquire("b", FileOf(2));
  const auto folder = Acquire("folder", Folder(3));
  EXPECT_EQ(superseded(), Names{});
  for (int i = 0; i < 2; ++i) table_.Supersede(*a);  // counts once
  Acquire("b", FileOf(4));
  Acquire("folder", Folder(5));
  EXPECT_TRUE(folder->superseded);
  EXPECT_EQ(superseded(), (Names{"a", "b"})) << "a folder has no file that anybody waits for";
  EXPECT_EQ(Acquire("a", FileOf(1)), a);
  EXPECT_EQ(superseded(), Names{"b"}) << "found again";
  table_.Forget(b->id, 1);
  EXPECT_EQ(superseded(), Names{}) << "gone";
  table_.Supersede(*b);
  table_.Forget(folder->id, 1);
  EXPECT_EQ(superseded(), Names{});
  table_.Supersede(*a);
  EXPECT_EQ(superseded(), Names{"a"}) << "the count is still right";
  EXPECT_EQ(table_.Current(0, "a"), a) << "known by its name until another one is found";
}

// As the predecessor knew it.
TEST_F(SlotTableTest, SupersededOnesAreThereAgainForASuccessor) {
  const auto memory = handover::SlotStore::MakeMemory();
  {
    handover::SlotStore store{util::UniqueFd(dup(memory.get()))};
    SlotTable table{Root(), store};
    for (const uint64_t inode : {1, 2, 3}) table.Acquire(table.root(), "a", FileOf(inode));
    store.Hold();
  }
  handover::SlotStore store{util::UniqueFd(dup(memory.get()))};
  SlotTable table{Root(), store};
  ASSERT_EQ(table.Superseded().size(), 2U);
  EXPECT_EQ(table.Current(0, "a")->identity.inode, 3U);
  for (const auto& slot : table.Superseded()) table.Forget(slot->id, 1);
  EXPECT_EQ(table.Superseded().size(), 0U);
}

TEST_F(SlotTableTest, LeavesWithTheLastLookup) {
  const auto slot = Acquire("a.skops", FileOf(1));
  Acquire("a.skops", FileOf(1));
  table_.AddLookups(*slot, 3);
  EXPECT_EQ(slot->record->lookups, 5U);
  table_.Forget(slot->id, 1);
  table_.Forget(slot->id, 3);
  EXPECT_EQ(table_.Get(slot->id), slot);
  table_.Forget(slot->id, 1);
  EXPECT_EQ(table_.Get(slot->id), nullptr);
  EXPECT_EQ(table_.All().size(), 1U);
}

TEST_F(SlotTableTest, ForgettingTooMuchOrTheUnknownDoesNoHarm) {
  const auto slot = Acquire("a.skops", FileOf(1));
  table_.Forget(slot->id, UINT64_MAX);
  table_.Forget(slot->id, 1);
  table_.Forget(slot->id + 1000, 1);
  EXPECT_EQ(table_.All().size(), 1U);
  Acquire("a.skops", FileOf(1));
  EXPECT_EQ(table_.All().size(), 2U);
}

TEST_F(SlotTableTest, IdsAreNeverUsedAgain) {
  std::set<uint64_t> ids;
  for (int i = 0; i < 100; ++i) {
    const auto slot = Acquire("a.skops", FileOf(1));
    EXPECT_TRUE(ids.insert(slot->id).second);
    table_.Forget(slot->id, 1);
  }
  EXPECT_EQ(table_.All().size(), 1U);
}

TEST_F(SlotTableTest, AnOldVersionLeavesWithoutTheNewOne) {
  const auto old_version = Acquire("a.skops", FileOf(1));
  const auto new_version = Acquire("a.skops", FileOf(2));
  table_.Forget(old_version->id, 1);
  EXPECT_EQ(table_.Get(old_version->id), nullptr);
  EXPECT_EQ(Acquire("a.skops", FileOf(2)), new_version);
}

TEST_F(SlotTableTest, ASlotKeepsItsParentAlive) {
  auto folder = Acquire("folder", Folder(1));
  const std::weak_ptr<Slot> watch = folder;
  auto archive = Acquire(folder, "a.skops", FileOf(2));
  table_.Forget(folder->id, 1);
  folder.reset();
  ASSERT_FALSE(watch.expired());
  EXPECT_EQ(archive->parent->path, "folder");
  table_.Forget(archive->id, 1);
  archive.reset();
  EXPECT_TRUE(watch.expired());
}

TEST_F(SlotTableTest, AForgottenSlotIsDestroyed) {
  const std::weak_ptr<Slot> watch = Acquire("a.skops", FileOf(1));
  ASSERT_FALSE(watch.expired());
  table_.Forget(watch.lock()->id, 1);
  EXPECT_TRUE(watch.expired());
}

TEST_F(SlotTableTest, FromManyThreads) {
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < 2000; ++i) {
        // Mostly the version that all threads see, now and then one that this thread alone sees.
        const auto st = FileOf(i % 7 < 6 ? 1 : 2 + t);
        const auto slot = table_.Acquire(table_.root(), "a" + std::to_string(i % 3), st);
        EXPECT_EQ(slot->identity.inode, st.st_ino);
        table_.AddLookups(*slot, 2);
        EXPECT_EQ(table_.Get(slot->id), slot);
        table_.Forget(slot->id, 3);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(table_.All().size(), 1U);
}

}  // namespace
}  // namespace skopsfs::catalog
