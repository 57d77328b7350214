#include "catalog/replaced_names.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>

#include "support/file_changes.h"
#include "support/open_archive.h"
#include "support/temp_folder.h"

namespace skopsfs::catalog {
namespace {

class ReplacedNamesTest : public ::testing::Test {
 protected:
  ReplacedNamesTest() { testing::WriteFile(path_, "old"); }

  source::Found Look() const {
    return {util::UniqueFd(open(path_.c_str(), O_PATH | O_CLOEXEC)), testing::StatOf(path_)};
  }

  const testing::TempFolder folder_;
  const std::string path_ = folder_ / "a.skops";
  ReplacedNames names_;
};

TEST_F(ReplacedNamesTest, WhatIsFoundUnderSuchANameIsKept) {
  names_.Keep("a.skops", 1, Look());
  EXPECT_EQ(names_.Kept(1), nullptr) << "nobody was told to look it up once more";
  names_.Add("a.skops");
  names_.Keep("b.skops", 2, Look());
  EXPECT_EQ(names_.Kept(2), nullptr);
  const auto found = Look();
  names_.Keep("a.skops", 3, found);
  std::filesystem::remove(path_);
  ASSERT_NE(names_.Kept(3), nullptr);
  EXPECT_EQ(names_.Kept(3)->st.st_ino, found.st.st_ino);
  const auto fd = source::Source::OpenForReading(*names_.Kept(3));
  std::array<char, 3> bytes{};
  EXPECT_EQ(pread(fd.get(), bytes.data(), bytes.size(), 0), 3);
}

TEST_F(ReplacedNamesTest, ForTwoPeriods) {
  names_.Add("a.skops");
  names_.Keep("a.skops", 1, Look());
  names_.Tidy();
  EXPECT_TRUE(names_.Contains("a.skops"));
  EXPECT_NE(names_.Kept(1), nullptr);
  names_.Tidy();
  EXPECT_FALSE(names_.Contains("a.skops"));
  EXPECT_EQ(names_.Kept(1), nullptr);
}

// At first the name is to be looked up once more; then a file that was replaced will do, but not
// one that was written to.
TEST_F(ReplacedNamesTest, WhatWillDo) {
  const auto file = testing::OpenArchiveFile(path_);
  EXPECT_TRUE(names_.IsVersion("a.skops", *file));
  testing::WaitForNewTime(path_);
  std::filesystem::rename(path_, folder_ / "b.skops");
  std::filesystem::create_hard_link(folder_ / "b.skops",
                                    path_);  // moves the change time everywhere
  EXPECT_FALSE(names_.IsVersion("a.skops", *file));
  EXPECT_TRUE(names_.IsVersion("a.skops", *file));
  testing::Overwrite(path_, 0, "x");
  EXPECT_FALSE(names_.IsVersion("a.skops", *file));
}

TEST_F(ReplacedNamesTest, BothAreBounded) {
  for (uint64_t i = 0; i < 2000; ++i) names_.Add(std::to_string(i));
  EXPECT_TRUE(names_.Contains("0"));
  EXPECT_FALSE(names_.Contains("1999"));
  for (uint64_t i = 0; i < 100; ++i) names_.Keep("0", i, Look());
  size_t kept = 0;
  for (uint64_t i = 0; i < 100; ++i) kept += names_.Kept(i) != nullptr ? 1 : 0;
  EXPECT_LE(kept, 20U);
  EXPECT_NE(names_.Kept(99), nullptr);
}

// Otherwise what is looked up again and again would take the places of all others.
TEST_F(ReplacedNamesTest, AVersionTakesOnePlace) {
  names_.Add("0");
  names_.Keep("0", 1, Look());
  for (int i = 0; i < 100; ++i) names_.Keep("0", 2, Look());
  EXPECT_NE(names_.Kept(1), nullptr);
}

}  // namespace
}  // namespace skopsfs::catalog
