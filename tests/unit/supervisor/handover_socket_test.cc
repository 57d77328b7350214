#include "supervisor/handover_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace skopsfs::supervisor {
namespace {

using handover::Tell;
using testing::ErrnoOf;

class HandoverSocketTest : public ::testing::Test {
 protected:
  testing::TempFolder folder_;
  const std::string path_ = folder_ / "socket";
};

TEST_F(HandoverSocketTest, NobodyIsThereAtFirst) {
  const auto first = MeetAt(path_);
  EXPECT_FALSE(first.predecessor);
  struct stat st {};
  ASSERT_EQ(lstat(path_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode, mode_t{S_IFSOCK | 0600});
  EXPECT_FALSE(AcceptAt(first.listener.get()));
}

TEST_F(HandoverSocketTest, TheNextOneFindsTheOneBefore) {
  const auto first = MeetAt(path_);
  const auto next = MeetAt(path_);
  ASSERT_TRUE(next.predecessor);
  EXPECT_FALSE(next.listener);
  const auto came = AcceptAt(first.listener.get());
  ASSERT_TRUE(came);
  ASSERT_TRUE(came->Send(Tell::kRefused, 0, 0, -1, "why"));
  EXPECT_EQ(next.predecessor->Receive()->text, "why");
}

TEST_F(HandoverSocketTest, OneThatIsLeftIsReplaced) {
  EXPECT_TRUE(MeetAt(path_).listener);
  const auto next = MeetAt(path_);
  EXPECT_FALSE(next.predecessor);
  EXPECT_TRUE(MeetAt(path_).predecessor);
}

TEST_F(HandoverSocketTest, WhatElseIsThereStays) {
  close(open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  EXPECT_EQ(ErrnoOf([&] { MeetAt(path_); }), EEXIST);
  EXPECT_EQ(access(path_.c_str(), F_OK), 0);
}

TEST_F(HandoverSocketTest, PathsThatCannotBe) {
  EXPECT_EQ(ErrnoOf([&] { MeetAt(folder_ / std::string(108, 'x')); }), ENAMETOOLONG);
  EXPECT_EQ(ErrnoOf([&] { MeetAt(folder_ / "none/socket"); }), ENOENT);
}

}  // namespace
}  // namespace skopsfs::supervisor
