#include "source/permissions.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "support/access_list.h"
#include "support/open_archive.h"
#include "support/temp_folder.h"

namespace skopsfs::source {
namespace {

using testing::AccessEntry;

// No descriptor, so that there is nothing to ask: as when a disk or a network fails.
TEST(WithinAccessList, OneThatCannotBeReadMayRefuseAllButTheOwner) {
  EXPECT_EQ(WithinAccessList(-1, S_IFREG | 0644), S_IFREG | mode_t{0600});
  EXPECT_EQ(WithinAccessList(-1, S_IFDIR | 0755), S_IFDIR | mode_t{0700});
}

TEST(WithinAccessList, FilesystemsWithoutThem) {
  const util::UniqueFd proc(open("/proc/self/stat", O_PATH | O_CLOEXEC));
  EXPECT_EQ(WithinAccessList(proc.get(), S_IFREG | 0444), S_IFREG | mode_t{0444});
}

// --- folders on a link's way ---

struct stat Stat(mode_t mode, uid_t uid, gid_t gid) {
  struct stat st {};
  st.st_mode = S_IFREG | mode;
  st.st_uid = uid;
  st.st_gid = gid;
  return st;
}

struct FolderCase {
  mode_t file;
  mode_t folder;
  bool same_owner;
  bool same_group;
  mode_t expected;
};

TEST(WithinFolder, Table) {
  const std::vector<FolderCase> cases = {
      // Who may search the folder anyway loses nothing.
      {0644, 0755, true, true, 0644},
      {0644, 0755, false, false, 0644},
      {0664, 0711, false, false, 0664},
      // The folder's owner only.
      {0644, 0700, true, true, 0600},
      {0644, 0700, false, true, 0000},
      // Its group too.
      {0644, 0750, true, true, 0640},
      {0644, 0750, true, false, 0600},
      {0644, 0750, false, true, 0040},
      {0644, 0750, false, false, 0000},
      // All but its group: those the file's others are may be of that group.
      {0644, 0705, true, true, 0600},
      {0644, 0705, false, false, 0000},
      // Reading the folder is no right to search it.
      {0644, 0744, true, true, 0600},
      {0644, 0644, true, true, 0000},
      // Nothing is ever added.
      {0000, 0777, true, true, 0000},
      {0400, 0777, false, false, 0400},
  };
  for (const auto& c : cases) {
    const mode_t mode = WithinFolder(Stat(c.file, 1, 1),
                                     Stat(c.folder, c.same_owner ? 1 : 2, c.same_group ? 1 : 2));
    EXPECT_EQ(mode, S_IFREG | c.expected)
        << std::oct << c.file << " in " << c.folder << (c.same_owner ? ", same owner" : "")
        << (c.same_group ? ", same group" : "");
  }
}

// Somebody, as far as one file's permissions are concerned.
struct Role {
  bool owner;
  bool in_group;
};

unsigned DigitFor(const struct stat& st, Role role) {
  const unsigned shift = role.owner ? 6 : role.in_group ? 3 : 0;
  return (st.st_mode >> shift) & 7;
}

// For everybody there may be: what the mount lets him do, the source lets him do. The folder's
// owner is left out: he can always give himself the right to search it.
TEST(WithinFolder, NobodyGetsMoreThanTheSourceGives) {
  for (mode_t bits = 0; bits < 8; ++bits) {
    const mode_t search = (bits & 1) | ((bits & 2) << 2) | ((bits & 4) << 4);
    for (const uid_t uid : {1U, 2U}) {
      for (const gid_t gid : {1U, 2U}) {
        const auto file = Stat(0754, 1, 1);
        const auto folder = Stat(search, uid, gid);
        auto shown = file;
        shown.st_mode = WithinFolder(file, folder);
        for (int who = 0; who < 8; ++who) {
          const Role of_file{(who & 1) != 0, (who & 2) != 0};
          const bool in_folders_group = gid == 1 ? of_file.in_group : (who & 4) != 0;
          const Role of_folder{uid == 1 && of_file.owner, in_folders_group};
          const bool may_search = (DigitFor(folder, of_folder) & 1) != 0;
          const unsigned allowed = may_search ? DigitFor(file, of_file) : 0;
          EXPECT_EQ(DigitFor(shown, of_file) & ~allowed, 0U)
              << std::oct << "folder " << search << " owner " << uid << " group " << gid << " as "
              << who;
        }
      }
    }
  }
}

// --- access control lists ---

constexpr uint32_t kSomebody = 54321;

class WithinAccessListTest : public ::testing::Test {
 protected:
  // The mode that is left of a file with this list; its real one for comparison.
  mode_t ModeWith(const std::vector<AccessEntry>& entries) {
    testing::WriteFile(path_, "");
    has_lists_ = testing::SetAccessList(path_, entries);
    const util::UniqueFd fd(open(path_.c_str(), O_PATH | O_CLOEXEC));
    real_ = testing::StatOf(path_).st_mode;
    const mode_t mode = WithinAccessList(fd.get(), real_);
    EXPECT_EQ(mode & ~real_, 0U) << "something was added";
    EXPECT_EQ(mode & S_IFMT, static_cast<mode_t>(S_IFREG));
    return mode & 0777;
  }

  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "file";
  bool has_lists_ = false;
  mode_t real_ = 0;
};

#define SKIP_WITHOUT_LISTS() \
  if (!has_lists_) GTEST_SKIP() << "a file system without access control lists"

TEST_F(WithinAccessListTest, WithoutAListNothingChanges) {
  testing::WriteFile(path_, "");
  const util::UniqueFd fd(open(path_.c_str(), O_PATH | O_CLOEXEC));
  for (const mode_t mode : {0777U, 0644U, 0000U, 04755U}) {
    EXPECT_EQ(WithinAccessList(fd.get(), S_IFREG | mode), S_IFREG | mode);
  }
}

TEST_F(WithinAccessListTest, AListThatSaysWhatTheModeSays) {
  const mode_t mode = ModeWith({{ACL_USER_OBJ, 6}, {ACL_GROUP_OBJ, 4}, {ACL_OTHER, 4}});
  SKIP_WITHOUT_LISTS();
  EXPECT_EQ(mode, 0644U);
}

TEST_F(WithinAccessListTest, GroupBitsAreTheMaskOnly) {
  const mode_t mode = ModeWith({{ACL_USER_OBJ, 6},
                                {ACL_USER, 4, kSomebody},
                                {ACL_GROUP_OBJ, 0},
                                {ACL_MASK, 4},
                                {ACL_OTHER, 0}});
  SKIP_WITHOUT_LISTS();
  EXPECT_EQ(real_ & 0777, 0640U);
  EXPECT_EQ(mode, 0600U);
}

TEST_F(WithinAccessListTest, AUserMayHaveLessThanAllOthers) {
  const mode_t mode = ModeWith({{ACL_USER_OBJ, 6},
                                {ACL_USER, 0, kSomebody},
                                {ACL_GROUP_OBJ, 4},
                                {ACL_MASK, 4},
                                {ACL_OTHER, 4}});
  SKIP_WITHOUT_LISTS();
  EXPECT_EQ(mode, 0600U);
}

TEST_F(WithinAccessListTest, AGroupMayHaveLessThanAllOthers) {
  const mode_t mode = ModeWith({{ACL_USER_OBJ, 6},
                                {ACL_GROUP_OBJ, 6},
                                {ACL_GROUP, 4, kSomebody},
                                {ACL_MASK, 6},
                                {ACL_OTHER, 6}});
  SKIP_WITHOUT_LISTS();
  EXPECT_EQ(mode, 0644U);
}

// The mask takes from named users and groups, but not from all others.
TEST_F(WithinAccessListTest, TheMaskTakesFromNamedUsers) {
  const mode_t mode = ModeWith({{ACL_USER_OBJ, 6},
                                {ACL_USER, 4, kSomebody},
                                {ACL_GROUP_OBJ, 4},
                                {ACL_MASK, 0},
                                {ACL_OTHER, 4}});
  SKIP_WITHOUT_LISTS();
  EXPECT_EQ(mode, 0600U) << "the named user reads as one of all others, who the mask keeps out";
}

TEST_F(WithinAccessListTest, TheMaskTakesFromNamedGroups) {
  const mode_t mode = ModeWith({{ACL_USER_OBJ, 6},
                                {ACL_GROUP_OBJ, 4},
                                {ACL_GROUP, 4, kSomebody},
                                {ACL_MASK, 0},
                                {ACL_OTHER, 4}});
  SKIP_WITHOUT_LISTS();
  EXPECT_EQ(mode, 0600U);
}

TEST_F(WithinAccessListTest, AMaskWithoutNamedEntriesConcernsTheGroupOnly) {
  const mode_t mode =
      ModeWith({{ACL_USER_OBJ, 6}, {ACL_GROUP_OBJ, 6}, {ACL_MASK, 4}, {ACL_OTHER, 6}});
  SKIP_WITHOUT_LISTS();
  EXPECT_EQ(mode, 0646U);
}

TEST_F(WithinAccessListTest, EntriesThatGrantMoreTakeNothing) {
  const mode_t mode = ModeWith({{ACL_USER_OBJ, 6},
                                {ACL_USER, 7, kSomebody},
                                {ACL_GROUP_OBJ, 4},
                                {ACL_GROUP, 6, kSomebody},
                                {ACL_MASK, 7},
                                {ACL_OTHER, 4}});
  SKIP_WITHOUT_LISTS();
  EXPECT_EQ(mode, 0644U);
}

TEST_F(WithinAccessListTest, ManyEntries) {
  std::vector<AccessEntry> entries = {{ACL_USER_OBJ, 6}};
  for (uint32_t i = 0; i < 100; ++i) entries.push_back({ACL_USER, 4, kSomebody + i});
  entries.back().permissions = 0;
  entries.insert(entries.end(), {{ACL_GROUP_OBJ, 4}, {ACL_MASK, 4}, {ACL_OTHER, 4}});
  const mode_t mode = ModeWith(entries);
  SKIP_WITHOUT_LISTS();
  EXPECT_EQ(mode, 0600U);
}

}  // namespace
}  // namespace skopsfs::source
