#include "supervisor/shared_source.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "support/log_capture.h"
#include "support/temp_folder.h"

namespace skopsfs::supervisor {
namespace {

using handover::Channel;
using handover::Tell;
using ::testing::ElementsAre;
using ::testing::EndsWith;

class SharedSourceTest : public ::testing::Test {
 protected:
  static MountOptions At(const std::string& mountpoint) {
    return {.mountpoint = mountpoint, .source = {}, .options = {}};
  }
  bool MayBeOpenedAnew(const std::string& mountpoint) const {
    const auto mount = At(mountpoint);
    return SharedSource(folder_.path().string(), mount).MayBeOpenedAnew();
  }

  const testing::LogCapture log_;
  const testing::TempFolder folder_;
  const MountOptions mount_ = At("/mnt");
  SharedSource source_{folder_.path().string(), mount_};
};

TEST_F(SharedSourceTest, WhatAWorkerGets) {
  const auto [ours, theirs] = Channel::Pair();
  source_.SendTo(ours, true);
  const auto source = theirs.Expect(Tell::kSource, true);
  EXPECT_EQ(source.number, uint64_t{handover::kToBeOpenedAnew});
  EXPECT_EQ(source.text, folder_.path().string());
  struct stat st {};
  ASSERT_EQ(fstat(source.fd.get(), &st), 0);
  EXPECT_EQ(source_.device(), st.st_dev);
  EXPECT_TRUE(theirs.Expect(Tell::kSourcePath, true).fd);
}

TEST_F(SharedSourceTest, OneThatWasOpenedAnew) {
  source::Source::Parts parts;
  parts.path = "not taken";
  parts.canonical_path = "/new";
  source_.Replace(std::move(parts));
  const auto [ours, theirs] = Channel::Pair();
  source_.SendTo(ours, false);
  EXPECT_EQ(theirs.Expect(Tell::kSource).text, folder_.path().string());
  EXPECT_EQ(theirs.Expect(Tell::kSourcePath).text, "/new");
}

TEST_F(SharedSourceTest, IsNotOpenedThroughItsOwnMount) {
  EXPECT_TRUE(MayBeOpenedAnew("/mnt"));
  EXPECT_TRUE(MayBeOpenedAnew(folder_ / "below"));
  EXPECT_FALSE(MayBeOpenedAnew(folder_.path().string()));
  EXPECT_FALSE(MayBeOpenedAnew(folder_.path().parent_path().string()));
}

TEST_F(SharedSourceTest, OneThatIsGoneIsLookedFor) {
  EXPECT_FALSE(source_.is_looked_for());
  source_.Gone(true);
  source_.Gone(true);
  EXPECT_LE(source_.look_at().value(), SharedSource::Clock::now());
  source_.Looked();
  EXPECT_GT(source_.look_at().value(), SharedSource::Clock::now());
  EXPECT_FALSE(source_.IsSaidAgain("no"));
  EXPECT_TRUE(source_.IsSaidAgain("no"));
  source_.Found();
  source_.Found();
  EXPECT_FALSE(source_.is_looked_for());
  EXPECT_FALSE(source_.IsSaidAgain("no"));
  EXPECT_THAT(log_.texts(), ElementsAre(EndsWith("looks for it every 2 s"),
                                        EndsWith("is back, and a new worker serves it")));
}

TEST_F(SharedSourceTest, UnlessItMayNotBe) {
  source_.Gone(false);
  EXPECT_FALSE(source_.is_looked_for());
  EXPECT_THAT(log_.texts(), ElementsAre(EndsWith("mount it again, and restart skopsfs")));
}

}  // namespace
}  // namespace skopsfs::supervisor
