#include "util/mount_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <string>

namespace skopsfs::util {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::string_view kLine = "40 22 0:50 /sub /mnt/a ro,nosuid shared:5 - fuse.skopsfs /m ro";

TEST(MountTable, ALine) {
  const auto mounts = ParseMountTable(kLine);
  ASSERT_THAT(mounts, SizeIs(1));
  EXPECT_EQ(mounts[0].id, 40U);
  EXPECT_EQ(mounts[0].device, makedev(0, 50));
  EXPECT_EQ(mounts[0].root, "/sub");
  EXPECT_EQ(mounts[0].mountpoint, "/mnt/a");
  EXPECT_EQ(mounts[0].type, "fuse.skopsfs");
  EXPECT_EQ(mounts[0].source, "/m");
}

TEST(MountTable, TheOrderIsKept) {
  EXPECT_THAT(
      ParseMountTable("40 1 0:50 / /a ro - tmpfs x rw\n41 40 8:1 / /a ro - ext4 /dev/y rw\n"),
      ElementsAre(Field(&MountEntry::id, 40), Field(&MountEntry::id, 41)));
}

TEST(MountTable, AnyNumberOfOptionalFields) {
  for (const auto* const fields : {"", "shared:5 ", "shared:5 master:1 propagate_from:2 "}) {
    const auto mounts = ParseMountTable("40 1 0:50 / /a ro " + std::string(fields) + "- t s rw\n");
    ASSERT_THAT(mounts, SizeIs(1)) << fields;
    EXPECT_EQ(mounts[0].type, "t");
  }
}

TEST(MountTable, Escapes) {
  const auto path_of = [](const std::string& text) {
    const auto mounts = ParseMountTable("40 1 0:50 / " + text + " ro - t " + text + " rw\n");
    EXPECT_THAT(mounts, SizeIs(1)) << text;
    EXPECT_EQ(mounts.at(0).source, mounts.at(0).mountpoint);
    return mounts.at(0).mountpoint;
  };
  EXPECT_EQ(path_of(R"(/a\040b\011c\012d\134e\043f)"), "/a b\tc\nd\\e#f");
  EXPECT_EQ(path_of(R"(/\134040)"), R"(/\040)") << "once";
  EXPECT_EQ(path_of("/\xff\\377"), "/\xff\xff");
  for (const auto* const text : {R"(/a\)", R"(/a\0)", R"(/a\04)", R"(/a\08x)", R"(/a\777)"}) {
    EXPECT_EQ(path_of(text), text);
  }
}

TEST(MountTable, AnEmptySource) {
  const auto mounts = ParseMountTable("40 1 0:50 / /a ro - tmpfs  rw\n");
  ASSERT_THAT(mounts, SizeIs(1));
  EXPECT_EQ(mounts[0].source, "");
}

TEST(MountTable, ALineThatIsCutShortIsLeftOut) {
  const size_t whole = kLine.size() - 1;  // one letter of the last options is enough
  for (size_t size = 0; size < whole; ++size) {
    EXPECT_THAT(ParseMountTable(kLine.substr(0, size)), IsEmpty()) << size;
  }
  EXPECT_THAT(ParseMountTable(kLine.substr(0, whole)), SizeIs(1));
  EXPECT_THAT(ParseMountTable("odd\n\n" + std::string(kLine) + "\nodd"), SizeIs(1));
}

TEST(MountTable, NumbersThatAreNoneOrTooLarge) {
  EXPECT_THAT(ParseMountTable("18446744073709551615 1 4294967295:1 / /a ro - t s rw\n"), SizeIs(1));
  for (const auto* const numbers :
       {"18446744073709551616 1 0:50", "-1 1 0:50", "40 1 4294967296:0", "40 1 0:4294967296",
        "40 1 50", "40 1 0:", "40 1 :50", "x 1 0:50", "40 1 0:5x"}) {
    EXPECT_THAT(ParseMountTable(std::string(numbers) + " / /a ro - t s rw\n"), IsEmpty())
        << numbers;
  }
}

TEST(MountTable, OfThisProcess) {
  struct stat st {};
  ASSERT_EQ(stat("/proc", &st), 0);
  EXPECT_THAT(ReadMountTable(),
              ::testing::Contains(::testing::AllOf(Field(&MountEntry::mountpoint, "/proc"),
                                                   Field(&MountEntry::device, st.st_dev))));
}

}  // namespace
}  // namespace skopsfs::util
