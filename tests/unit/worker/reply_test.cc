#include "worker/reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <new>
#include <stdexcept>
#include <string>

#include "support/log_capture.h"
#include "unit/worker/fake_kernel.h"

namespace skopsfs::worker {
namespace {

using ::testing::ElementsAre;
using testing::FakeKernel;
using ::testing::IsEmpty;

using Body = std::function<void(fuse_req_t)>;

// What is answered to a request whose callback runs `body`.
FakeKernel::Reply AnswerOf(const Body& body) {
  fuse_lowlevel_ops operations{};
  operations.statfs = [](fuse_req_t request, fuse_ino_t) {
    Answer(request, "statfs",
           [&] { (*static_cast<const Body*>(fuse_req_userdata(request)))(request); });
  };
  FakeKernel kernel(operations, const_cast<Body*>(&body));
  kernel.Init();
  return kernel.Call(FUSE_STATFS, FUSE_ROOT_ID);
}

TEST(Answer, LeavesTheReplyToTheBody) {
  const testing::LogCapture log;
  const auto reply = AnswerOf([](fuse_req_t request) { fuse_reply_buf(request, "fine", 4); });
  EXPECT_EQ(reply.error, 0);
  EXPECT_EQ(reply.body, "fine");
  EXPECT_THAT(log.texts(), IsEmpty());
}

TEST(Answer, AnErrorIsItsErrno) {
  const testing::LogCapture log;
  for (const int code : {EIO, ESTALE, ENFILE, EOPNOTSUPP}) {
    const auto reply = AnswerOf([&](fuse_req_t) { throw util::Error(code, "for the log"); });
    EXPECT_TRUE(reply.answered);
    EXPECT_EQ(reply.error, code);
    EXPECT_EQ(reply.body, "");
  }
  EXPECT_THAT(log.texts(), IsEmpty()) << "whoever knows the archive has logged it";
}

TEST(Answer, ASourceWhoseServerIsGoneIsNotTakenForUs) {
  for (const int code : {ENOTCONN, ECONNABORTED}) {
    EXPECT_EQ(AnswerOf([&](fuse_req_t) { throw util::Error(code, "the source's"); }).error, EIO);
  }
}

TEST(Answer, WhatIsUnexpectedIsLogged) {
  const testing::LogCapture log;
  EXPECT_EQ(AnswerOf([](fuse_req_t) { throw std::runtime_error("a surprise"); }).error, EIO);
  EXPECT_EQ(AnswerOf([](fuse_req_t) { throw std::bad_alloc(); }).error, ENOMEM);
  EXPECT_THAT(log.texts(),
              ElementsAre("statfs: unexpected failure: a surprise", "statfs: out of memory"));
}

}  // namespace
}  // namespace skopsfs::worker
