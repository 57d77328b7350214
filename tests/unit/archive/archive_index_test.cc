#include "archive/archive_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <string>

#include "support/archive_builder.h"
#include "support/errors.h"
#include "support/log_capture.h"
#include "support/memory_source.h"
#include "support/open_archive.h"

namespace skopsfs::archive {
namespace {

using testing::ArchiveBuilder;
using ::testing::ElementsAre;
using testing::FindNode;
using ::testing::IsEmpty;
using testing::LogCapture;
using testing::MemorySource;
using ::testing::SizeIs;

TEST(ArchiveIndex, EntriesAndPaths) {
  const MemorySource source(ArchiveBuilder()
                                .Add({.name = "schema.json", .data = "{}"})
                                .Add({.name = "a/b/c.npy", .data = "123"})
                                .Add({.name = "a/"})
                                .Build());
  const ArchiveIndex index(source, "m.skops");
  EXPECT_EQ(index.node_count(), 5U);
  EXPECT_EQ(index.EntryOf(0), nullptr);
  EXPECT_EQ(index.PathOf(0), "");
  const auto c = FindNode(index, "a/b/c.npy");
  EXPECT_EQ(index.PathOf(c), "a/b/c.npy");
  EXPECT_EQ(index.EntryOf(c)->size, 3U);
  EXPECT_EQ(index.EntryOf(FindNode(index, "a/b")), nullptr);
  EXPECT_EQ(index.EntryOf(FindNode(index, "a")), &index.directory().entries[2]);
  EXPECT_EQ(index.PathOf(FindNode(index, "a/b")), "a/b");
  EXPECT_GT(index.memory_bytes(), 3 * sizeof(zip::Entry) + 5 * sizeof(Node));
}

TEST(ArchiveIndex, ReadsNothingButTheDirectory) {
  class Watched : public MemorySource {
   public:
    using MemorySource::MemorySource;
    size_t ReadAt(uint64_t offset, std::span<std::byte> out) const override {
      if (!out.empty()) lowest = std::min(lowest, offset);
      return MemorySource::ReadAt(offset, out);
    }
    mutable uint64_t lowest = UINT64_MAX;
  };
  ArchiveBuilder builder;
  builder.Add({.name = "big", .data = std::string(1 << 20, 'x')});
  const Watched source(builder.Build());
  const ArchiveIndex index(source, "m.skops");
  EXPECT_EQ(source.lowest, builder.layout().directory);
}

TEST(ArchiveIndex, HiddenMembersAreLogged) {
  const LogCapture log;
  const MemorySource source(ArchiveBuilder().Add({.name = "../x\n"}).Add({.name = "fine"}).Build());
  const ArchiveIndex index(source, "m.skops");
  EXPECT_THAT(log.texts(), ElementsAre("\"m.skops\": member \"../x\\x0a\" is not shown: its name "
                                       "has a component '.' or '..'"));
}

TEST(ArchiveIndex, HiddenMembersDoNotFloodTheLog) {
  const LogCapture log;
  ArchiveBuilder builder;
  for (int i = 0; i < 1000; ++i) builder.Add({.name = "/" + std::to_string(i)});
  const MemorySource source(builder.Build());
  const ArchiveIndex index(source, "m.skops");
  EXPECT_THAT(log.texts(), SizeIs(21));
  EXPECT_EQ(log.texts().back(), "\"m.skops\": more members are not shown");
  EXPECT_EQ(index.node_count(), 1U);
}

TEST(ArchiveIndex, NothingIsLoggedForAGoodArchive) {
  const LogCapture log;
  const MemorySource source(ArchiveBuilder().Add({.name = "a"}).Add({.name = "a"}).Build());
  const ArchiveIndex index(source, "m.skops");
  EXPECT_THAT(log.texts(), IsEmpty());
}

TEST(ArchiveIndex, UnreadableArchives) {
  const auto index = [](const std::string& bytes, const zip::Limits& limits = {}) {
    return testing::ErrnoOf([&] { ArchiveIndex(MemorySource(bytes), "m.skops", limits); });
  };
  EXPECT_EQ(index(""), EIO);
  EXPECT_EQ(index("not a zip"), EIO);
  const auto two = ArchiveBuilder().Add({.name = "a"}).Add({.name = "b"}).Build();
  EXPECT_EQ(index(two, {.entries = 1}), EFBIG);
  EXPECT_EQ(index(two), 0);
}

// --- modification times ---

uint32_t DosDate(int year, int month, int day) {
  return static_cast<uint16_t>((year - 1980) << 9 | month << 5 | day);
}
uint32_t DosTime(int hour, int minute, int second) {
  return static_cast<uint16_t>(hour << 11 | minute << 5 | second / 2);
}

class ModificationTimeTest : public ::testing::Test {
 protected:
  ModificationTimeTest() { Use("CET-1CEST,M3.5.0,M10.5.0/3"); }
  ~ModificationTimeTest() override {
    unsetenv("TZ");
    tzset();
  }
  static void Use(const char* zone) {
    setenv("TZ", zone, 1);
    tzset();
  }
};

TEST_F(ModificationTimeTest, ExtendedTimestampFirst) {
  EXPECT_EQ(ModificationTime({.modified = 1'700'000'000, .has_unix_time = 1}), 1'700'000'000);
  EXPECT_EQ(ModificationTime({.modified = 0xfffffffb, .has_unix_time = 1}), 4'294'967'291);
}

TEST_F(ModificationTimeTest, DosTimeIsLocal) {
  const zip::Entry winter{.modified = DosDate(2024, 1, 15) << 16 | DosTime(12, 30, 44)};
  const zip::Entry summer{.modified = DosDate(2024, 7, 15) << 16 | DosTime(12, 30, 44)};
  EXPECT_EQ(ModificationTime(winter), 1705318244);  // 11:30:44 UTC
  EXPECT_EQ(ModificationTime(summer), 1721039444);  // 10:30:44 UTC
  Use("UTC0");
  EXPECT_EQ(ModificationTime(winter), 1705321844);
}

// As unzip sets them: test_utilities.py has many more.
TEST_F(ModificationTimeTest, DatesThatNoCalendarHas) {
  Use("UTC0");
  const auto of = [](int year, int month, int day, int hour = 0, int minute = 0) {
    return ModificationTime(
        {.modified = DosDate(year, month, day) << 16 | DosTime(hour, minute, 0)});
  };
  EXPECT_EQ(ModificationTime({}), 315446400);  // 1979-12-31
  EXPECT_EQ(of(2024, 0, 7), of(2024, 1, 7));
  EXPECT_EQ(of(2024, 13, 7), of(2025, 1, 7));
  EXPECT_EQ(of(2024, 15, 31), of(2025, 3, 31));
  EXPECT_EQ(of(2024, 5, 0), of(2024, 4, 30));
  EXPECT_EQ(of(2023, 2, 31), of(2023, 3, 3));
  EXPECT_EQ(of(2024, 5, 6, 31, 63), of(2024, 5, 7, 8, 3));
  EXPECT_EQ(ModificationTime({.modified = 0xffffffff}), 4362710642);  // 2108
}

}  // namespace
}  // namespace skopsfs::archive
