// What the catalogue makes of the ways in which an archive can change.

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "catalog/catalog.h"
#include "support/archive_files.h"
#include "support/errors.h"
#include "support/file_changes.h"
#include "support/log_capture.h"

namespace skopsfs::catalog {
namespace {

using testing::ErrnoOf;
using testing::LookUp;
using testing::MemberOf;

const std::string kOld = "the old bytes";
const std::string kNew = "the new bytes";  // as long

// A way to change the archive at `path`, and what a new lookup and open must then show.
struct Change {
  std::string name;
  std::function<void(const std::string& path)> make;
  std::string shown;  // the member's bytes; empty: the archive cannot be opened
  bool gone = false;  // it is not even there
};

void SetTime(const std::string& path) {
  std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now());
}

const std::vector<Change>& Changes() {
  namespace fs = std::filesystem;
  static const std::vector<Change> changes = {
      {"RenameOver", [](const auto& path) { testing::ReplaceFile(path, testing::ArchiveOf(kNew)); },
       kNew},
      {"RenameOverWithTheSameBytesAndTime",
       [](const auto& path) {
         const auto time = fs::last_write_time(path);
         testing::WriteFile(path + ".new", testing::ArchiveOf(kOld));
         fs::last_write_time(path + ".new", time);
         fs::rename(path + ".new", path);
       },
       kOld},
      {"Unlink", [](const auto& path) { fs::remove(path); }, "", true},
      {"UnlinkAndWriteAnew",
       [](const auto& path) {
         fs::remove(path);
         testing::WriteFile(path, testing::ArchiveOf(kNew));
       },
       kNew},
      {"RenameAway", [](const auto& path) { fs::rename(path, path + ".away"); }, "", true},
      {"RewriteInPlace",
       [](const auto& path) { testing::Overwrite(path, 0, testing::ArchiveOf(kNew)); }, kNew},
      {"RewriteWithTheTimeSetBack",
       [](const auto& path) { testing::OverwriteKeepingTime(path, 0, testing::ArchiveOf(kNew)); },
       kNew},
      {"WriteOver",
       [](const auto& path) { testing::WriteFile(path, testing::ArchiveOf(kNew + kNew)); },
       kNew + kNew},
      {"Append",
       [](const auto& path) { testing::Overwrite(path, fs::file_size(path), "trailing"); }, kOld},
      {"Truncate", [](const auto& path) { fs::resize_file(path, fs::file_size(path) - 1); }, ""},
      {"TruncateToNothing", [](const auto& path) { fs::resize_file(path, 0); }, ""},
      {"Touch", [](const auto& path) { SetTime(path); }, kOld},
      {"Chmod", [](const auto& path) { testing::TouchMode(path); }, kOld},
      {"OneMoreLink", [](const auto& path) { fs::create_hard_link(path, path + ".link"); }, kOld},
      {"ReplacedByAFolder",
       [](const auto& path) {
         fs::remove(path);
         fs::create_directory(path);
       },
       "", false},
      {"ReplacedByAPipe",
       [](const auto& path) {
         fs::remove(path);
         ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
       },
       "", true},
      {"ReplacedByALinkToAnother",
       [](const auto& path) {
         testing::WriteFile(path + ".blob", testing::ArchiveOf(kNew));
         fs::create_symlink(fs::path(path + ".blob").filename(), path + ".new");
         fs::rename(path + ".new", path);
       },
       kNew},
  };
  return changes;
}

// What the old version has gone through before the change.
enum class Before { kLookedUp, kOpened, kClosedAgain, kRead };

class CatalogVersions : public ::testing::TestWithParam<std::tuple<size_t, Before>> {
 protected:
  CatalogVersions() {
    testing::WriteFile(path_, testing::ArchiveOf(kOld));
    testing::WriteFile(folder_ / "b.skops", testing::ArchiveOf("other"));
    testing::WriteFile(folder_ / "c.skops", testing::ArchiveOf("other"));
  }

  void Prepare() {
    slot_ = LookUp(catalog_, "a.skops");
    const auto before = std::get<1>(GetParam());
    if (before == Before::kLookedUp) return;
    EXPECT_EQ(MemberOf(catalog_.Open(slot_)), kOld);
    if (before == Before::kRead) testing::StartReading(catalog_, slot_, decoders_);
    if (before != Before::kClosedAgain) return;
    catalog_.Open(LookUp(catalog_, "b.skops"));
    catalog_.Open(LookUp(catalog_, "c.skops"));
    EXPECT_FALSE(slot_->file()) << "closed for want of room";
  }

  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "a.skops";
  const testing::LogCapture log_;
  archive::DecoderPool decoders_;
  Catalog catalog_{folder_.path().string(), {.descriptors = 2}};
  std::shared_ptr<Slot> slot_;
};

TEST_P(CatalogVersions, OldSlotIsStaleAndTheNewOneShowsTheNewVersion) {
  const Change& change = Changes()[std::get<0>(GetParam())];
  Prepare();
  testing::WaitForNewTime(path_);
  change.make(path_);
  EXPECT_EQ(ErrnoOf([&] { catalog_.Open(slot_); }), ESTALE) << "before a new lookup";

  const auto now = LookUp(catalog_, "a.skops");
  if (change.gone) {
    EXPECT_EQ(now, nullptr);
  } else {
    ASSERT_NE(now, nullptr);
    EXPECT_NE(now, slot_);
    EXPECT_NE(now->id, slot_->id);
    EXPECT_TRUE(slot_->superseded);
  }
  EXPECT_EQ(ErrnoOf([&] { catalog_.Open(slot_); }), ESTALE) << "after it";
  if (change.gone || now->is_folder) return;
  if (change.shown.empty()) {
    EXPECT_EQ(ErrnoOf([&] { catalog_.Open(now); }), EIO);
  } else {
    EXPECT_EQ(MemberOf(catalog_.Open(now)), change.shown);
  }
  EXPECT_EQ(ErrnoOf([&] { catalog_.Open(slot_); }), ESTALE) << "for good";
  const std::weak_ptr<const archive::ArchiveFile> file = slot_->file();
  catalog_.slots().Forget(slot_->id, 1);
  slot_.reset();
  EXPECT_TRUE(file.expired()) << "the kernel has let go of it";
}

// With the old version open in somebody's hands.
class HeldVersions : public ::testing::TestWithParam<size_t> {};

TEST_P(HeldVersions, WhoHoldsTheOldVersionKeepsIt) {
  const testing::TempFolder folder;
  const std::string path = folder / "a.skops";
  testing::WriteFile(path, testing::ArchiveOf(kOld));
  Catalog catalog(folder.path().string(), {});
  const auto slot = LookUp(catalog, "a.skops");
  const OpenArchive held = catalog.Open(slot);
  testing::WaitForNewTime(path);
  Changes()[GetParam()].make(path);
  LookUp(catalog, "a.skops");
  EXPECT_FALSE(held.file->IsCurrent());
  EXPECT_EQ(held.index->node_count(), 2U);
  EXPECT_EQ(catalog.open_archives().open_files(), 1U);
  EXPECT_EQ(ErrnoOf([&] { catalog.Open(slot); }), ESTALE);
}

TEST_P(HeldVersions, TheOldVersionIsFoundThoughNobodyLooksTheNameUp) {
  const testing::TempFolder folder;
  const std::string path = folder / "a.skops";
  testing::WriteFile(path, testing::ArchiveOf(kOld));
  testing::WriteFile(folder / "b.skops", testing::ArchiveOf("other"));
  Catalog catalog(folder.path().string(), {});
  const auto slot = LookUp(catalog, "a.skops");
  catalog.Open(slot);
  catalog.Open(LookUp(catalog, "b.skops"));
  catalog.LookAtOpenFiles();
  EXPECT_EQ(catalog.slots().Superseded().size(), 0U);
  testing::WaitForNewTime(path);
  Changes()[GetParam()].make(path);
  catalog.LookAtOpenFiles();
  ASSERT_EQ(catalog.slots().Superseded().size(), 1U);
  EXPECT_EQ(catalog.slots().Superseded()[0], slot);
  catalog.slots().Forget(slot->id, 1);
  EXPECT_EQ(catalog.slots().Superseded().size(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Changes, HeldVersions, ::testing::Range<size_t>(0, Changes().size()),
                         [](const auto& test) { return Changes()[test.param].name; });

std::string NameOf(const ::testing::TestParamInfo<CatalogVersions::ParamType>& info) {
  static const char* const kBefore[] = {"LookedUp", "Opened", "ClosedAgain", "Read"};
  return Changes()[std::get<0>(info.param)].name +
         kBefore[static_cast<int>(std::get<1>(info.param))];
}

INSTANTIATE_TEST_SUITE_P(Changes, CatalogVersions,
                         ::testing::Combine(::testing::Range<size_t>(0, Changes().size()),
                                            ::testing::Values(Before::kLookedUp, Before::kOpened,
                                                              Before::kClosedAgain, Before::kRead)),
                         NameOf);

// --- one archive as the source ---

class CatalogOfOneArchive : public ::testing::Test {
 protected:
  CatalogOfOneArchive() {
    testing::WriteFile(path_, testing::ArchiveOf(kOld));
    catalog_ = std::make_unique<Catalog>(path_, OpenArchives::Budget{});
  }

  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "a.skops";
  const testing::LogCapture log_;
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogOfOneArchive, ShowsIt) {
  const auto slot = catalog_->SingleArchive();
  EXPECT_FALSE(slot->is_folder);
  EXPECT_EQ(slot->path, "");
  EXPECT_EQ(catalog_->LabelOf(*slot), path_);
  EXPECT_EQ(MemberOf(catalog_->Open(slot)), kOld);
  EXPECT_EQ(catalog_->SingleArchive(), slot);
}

TEST_F(CatalogOfOneArchive, FollowsReplacementsAndLeaksNoSlots) {
  for (int i = 0; i < 20; ++i) {
    testing::ReplaceFile(path_, testing::ArchiveOf(std::to_string(i)));
    for (int again = 0; again < 3; ++again) {
      EXPECT_EQ(MemberOf(catalog_->Open(catalog_->SingleArchive())), std::to_string(i));
    }
    EXPECT_EQ(catalog_->slots().All().size(), 2U);
    EXPECT_EQ(catalog_->open_archives().open_files(), 1U);
  }
}

TEST_F(CatalogOfOneArchive, AVersionThatTheKernelHoldsStays) {
  const auto slot = catalog_->SingleArchive();
  catalog_->slots().AddLookups(*slot, 1);
  testing::ReplaceFile(path_, testing::ArchiveOf(kNew));
  const auto now = catalog_->SingleArchive();
  EXPECT_NE(now, slot);
  EXPECT_EQ(catalog_->slots().Get(slot->id), slot);
  EXPECT_EQ(catalog_->slots().All().size(), 3U);
  catalog_->slots().Forget(slot->id, 1);
  EXPECT_EQ(catalog_->slots().All().size(), 2U);
}

// The catalogue's own lookup alone must not hold what is gone.
TEST_F(CatalogOfOneArchive, AnOldVersionIsLetGoOfThoughNobodyLooksAtTheRoot) {
  auto slot = catalog_->SingleArchive();
  catalog_->Open(slot);
  catalog_->LookAtOpenFiles();
  EXPECT_EQ(catalog_->slots().All().size(), 2U);
  catalog_->slots().AddLookups(*slot, 1);
  std::filesystem::remove(path_);
  catalog_->LookAtOpenFiles();
  ASSERT_EQ(catalog_->slots().Superseded().size(), 1U);
  catalog_->slots().Forget(slot->id, 1);
  slot.reset();
  EXPECT_EQ(catalog_->slots().All().size(), 1U);
  EXPECT_EQ(catalog_->open_archives().open_files(), 0U);
  catalog_->LookAtOpenFiles();
  testing::WriteFile(path_, testing::ArchiveOf(kNew));
  EXPECT_EQ(MemberOf(catalog_->Open(catalog_->SingleArchive())), kNew);
  EXPECT_EQ(catalog_->slots().All().size(), 2U);
}

TEST_F(CatalogOfOneArchive, ItsSlotStaysWhenTheKernelForgetsItAll) {
  const auto slot = catalog_->SingleArchive();
  catalog_->slots().AddLookups(*slot, 2);
  catalog_->slots().Forget(slot->id, 2);
  EXPECT_EQ(catalog_->slots().Get(slot->id), slot);
}

TEST_F(CatalogOfOneArchive, GoesAndComesBack) {
  std::filesystem::remove(path_);
  EXPECT_EQ(ErrnoOf([&] { catalog_->SingleArchive(); }), ENOENT);
  std::filesystem::create_directory(path_);
  EXPECT_EQ(ErrnoOf([&] { catalog_->SingleArchive(); }), EIO);
  std::filesystem::remove(path_);
  testing::WriteFile(path_, "no archive");
  EXPECT_EQ(ErrnoOf([&] { catalog_->Open(catalog_->SingleArchive()); }), EIO);
  testing::WriteFile(path_, testing::ArchiveOf(kNew));
  EXPECT_EQ(MemberOf(catalog_->Open(catalog_->SingleArchive())), kNew);
}

TEST_F(CatalogOfOneArchive, FromManyThreadsWhileItIsReplaced) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      while (!stop) {
        const int code = ErrnoOf([&] {
          const auto slot = catalog_->SingleArchive();
          const std::string bytes = MemberOf(catalog_->Open(slot));
          EXPECT_TRUE(bytes == kOld || bytes == kNew) << bytes;
        });
        EXPECT_TRUE(code == 0 || code == ESTALE) << code;
      }
    });
  }
  for (int i = 0; i < 30; ++i) {
    testing::ReplaceFile(path_, testing::ArchiveOf(i % 2 == 0 ? kNew : kOld));
    ErrnoOf([&] { catalog_->Open(catalog_->SingleArchive()); });
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  catalog_->SingleArchive();
  EXPECT_EQ(catalog_->slots().All().size(), 2U);
}

}  // namespace
}  // namespace skopsfs::catalog
