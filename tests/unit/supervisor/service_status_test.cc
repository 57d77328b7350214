#include "supervisor/service_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "support/service_socket.h"

namespace skopsfs::supervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ServiceStatusTest : public ::testing::Test {
 protected:
  // So short that any silence is too long.
  ServiceStatusTest() { setenv("WATCHDOG_USEC", "1", 1); }
  ~ServiceStatusTest() override { ServiceManager::Leave(); }

  const testing::ServiceSocket socket_;
};

TEST_F(ServiceStatusTest, WhatIsServedAndWhatCrashed) {
  ServiceStatus status("/models", "/mnt");
  status.Ready();
  EXPECT_THAT(socket_.Told(), ElementsAre("READY=1\nSTATUS=serving \"/models\" at \"/mnt\""));
  status.WorkerCrashed("ended with 3");
  status.Serving();
  EXPECT_THAT(socket_.Told(), ElementsAre(HasSubstr("no worker serves, and requests wait"),
                                          ::testing::MatchesRegex(
                                              "STATUS=serving .* at .*; workers that crashed: 1, "
                                              "the last at .*: it ended with 3")));
}

TEST_F(ServiceStatusTest, AliveWhileNoneWaitsOrNoneServes) {
  ServiceStatus status("/models", "/mnt");
  status.GiveSignOfLife(true, ServiceStatus::Requests{.wait = false});
  status.GiveSignOfLife(false, std::nullopt);
  EXPECT_THAT(socket_.Told(), ElementsAre("WATCHDOG=1", "WATCHDOG=1"));
}

TEST_F(ServiceStatusTest, AliveWhileTheSourceHangs) {
  ServiceStatus status("/models", "/mnt");
  const ServiceStatus::Requests waiting{.wait = true, .source_hangs = true};
  status.GiveSignOfLife(true, waiting);
  status.GiveSignOfLife(true, waiting);
  EXPECT_THAT(socket_.Told(), ::testing::Contains(HasSubstr("requests wait for the source")));
  status.GiveSignOfLife(true, ServiceStatus::Requests{.wait = true, .begun = 1});
  EXPECT_THAT(socket_.Told(), ElementsAre("WATCHDOG=1", HasSubstr("STATUS=serving")));
}

TEST_F(ServiceStatusTest, NotAliveWhenTheWorkerTakesNone) {
  ServiceStatus status("/models", "/mnt");
  const ServiceStatus::Requests waiting{.wait = true};
  status.GiveSignOfLife(true, waiting);
  socket_.Told();
  status.GiveSignOfLife(true, waiting);
  EXPECT_THAT(socket_.Told(), ElementsAre(HasSubstr("the worker has taken none for 0 s")));
}

}  // namespace
}  // namespace skopsfs::supervisor
