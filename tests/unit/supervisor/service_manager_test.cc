#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "supervisor/service_status.h"
#include "support/service_socket.h"

namespace skopsfs::supervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ServiceManagerTest : public ::testing::Test {
 protected:
  ~ServiceManagerTest() override { ServiceManager::Leave(); }
  std::vector<std::string> Told() const { return socket_.Told(); }

  const testing::ServiceSocket socket_;
};

TEST_F(ServiceManagerTest, IsTold) {
  ServiceManager manager;
  manager.Ready("serving");
  manager.Status("busy");
  manager.Stopping("done");
  EXPECT_THAT(Told(),
              ElementsAre("READY=1\nSTATUS=serving", "STATUS=busy", "STOPPING=1\nSTATUS=done"));
}

TEST_F(ServiceManagerTest, AStatusIsOneLine) {
  ServiceManager().Status("a\nREADY=1\x7f\tb");
  EXPECT_THAT(Told(), ElementsAre("STATUS=a?READY=1??b"));
}

TEST_F(ServiceManagerTest, WantsNoSignOfLifeUnlessItSaysSo) {
  const ServiceManager manager;
  EXPECT_EQ(manager.due(), std::nullopt);
  setenv("WATCHDOG_USEC", "soon", 1);
  EXPECT_EQ(ServiceManager().due(), std::nullopt);
  setenv("WATCHDOG_USEC", "1000000", 1);
  setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(ServiceManager().due(), std::nullopt) << "from somebody else";
}

TEST_F(ServiceManagerTest, SignsOfLifeAreDueInHalfOfTheTime) {
  setenv("WATCHDOG_USEC", "60000000", 1);
  ServiceManager manager;
  EXPECT_EQ(manager.patience(), std::chrono::seconds(60));
  EXPECT_LE(manager.due().value(), ServiceManager::Clock::now());
  for (const bool alive : {true, false}) {
    const auto before = ServiceManager::Clock::now();
    manager.Beat(alive);
    EXPECT_GE(manager.due().value(), before + std::chrono::seconds(30));
    EXPECT_LE(manager.due().value(), ServiceManager::Clock::now() + std::chrono::seconds(30));
  }
  EXPECT_THAT(Told(), ElementsAre("WATCHDOG=1"));
}

TEST_F(ServiceManagerTest, SaysNothingOnceItHasLeft) {
  setenv("WATCHDOG_USEC", "60000000", 1);
  ServiceManager::Leave();
  ServiceManager manager;
  manager.Ready("serving");
  manager.Beat(true);
  EXPECT_EQ(manager.patience().count(), 0);
  EXPECT_THAT(Told(), IsEmpty());
}

}  // namespace
}  // namespace skopsfs::supervisor
