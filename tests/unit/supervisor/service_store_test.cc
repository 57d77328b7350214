#include "supervisor/service_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "handover/channel.h"
#include "supervisor/service_status.h"
#include "support/service_socket.h"

namespace skopsfs::supervisor {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

std::string Put(const std::string& name) { return "FDSTORE=1\nFDPOLL=0\nFDNAME=" + name; }
std::string Removed(const std::string& name) { return "FDSTOREREMOVE=1\nFDNAME=" + name; }

class ServiceStoreTest : public ::testing::Test {
 protected:
  ServiceStoreTest() { setenv("FDSTORE", "4096", 1); }
  ~ServiceStoreTest() override {
    ServiceManager::Leave();
    unsetenv("FDSTORE");
  }

  handover::SupervisorState State(const std::string& last_crash = "") const {
    handover::SupervisorState state;
    state.protocol = handover::kProtocolVersion;
    state.last_crash = last_crash;
    for (const auto& [name, fd] : kStoredDescriptors) state.*fd = null_.get();
    return state;
  }
  void KeepMany(ServiceStore& store, uint64_t count) const {
    for (uint64_t number = 0; number < count; ++number) {
      store.Keep({.number = number, .slot = 0}, null_.get());
    }
  }
  // All that it sends, at last.
  std::vector<std::string> Sent(ServiceStore& store) const {
    auto all = socket_.Told();
    while (store.due()) {
      store.SendRest();
      for (auto& one : socket_.Told()) all.push_back(std::move(one));
    }
    return all;
  }

  const util::UniqueFd null_{open("/dev/null", O_RDONLY | O_CLOEXEC)};
  const testing::ServiceSocket socket_;
};

TEST_F(ServiceStoreTest, WithoutRoomNothingIsStored) {
  for (const char* room : {"", "0", "63", "-1", "many"}) {
    setenv("FDSTORE", room, 1);
    ServiceStore store;
    store.Save(State());
    EXPECT_FALSE(store.is_saved());
    EXPECT_THAT(Sent(store), IsEmpty());
  }
}

TEST_F(ServiceStoreTest, NewFactsComeBeforeOldOnesGo) {
  ServiceStore store;
  store.Save(State());
  EXPECT_THAT(Sent(store), SizeIs(7));
  EXPECT_TRUE(store.is_saved());
  store.Save(State());
  EXPECT_THAT(Sent(store), IsEmpty());
  store.Save(State("at noon"));
  EXPECT_THAT(Sent(store), ElementsAre(Put("facts-2"), Removed("facts-1")));
}

TEST_F(ServiceStoreTest, KeptOnesComeAndGo) {
  ServiceStore store;
  store.Keep({.number = 1, .slot = 2}, null_.get());  // nothing is stored yet
  EXPECT_THAT(Sent(store), IsEmpty());
  auto state = State();
  state.kept = {{.number = 26, .slot = 2}};
  state.kept_descriptors = {null_.get()};
  store.Save(state);
  EXPECT_THAT(Sent(store), Contains(Put("kept-1a-2")));
  store.Keep({.number = 3, .slot = 4}, null_.get());
  store.Drop({.number = 26, .slot = 2});
  store.Drop({.number = 99, .slot = 2});
  EXPECT_THAT(Sent(store), ElementsAre(Put("kept-3-4"), Removed("kept-1a-2")));
}

TEST_F(ServiceStoreTest, WhatTheManagerDoesNotTakeComesLater) {
  constexpr uint64_t kMany = 2000;
  ServiceStore store;
  store.Save(State());
  KeepMany(store, kMany);
  ASSERT_TRUE(store.due());
  EXPECT_FALSE(store.is_saved());
  store.Drop({.number = kMany - 1, .slot = 0});  // it was not sent yet
  EXPECT_THAT(Sent(store), SizeIs(7 + kMany - 1));
  EXPECT_TRUE(store.is_saved());
}

TEST_F(ServiceStoreTest, AManagerThatIsSlowGetsAllToTheLast) {
  ServiceStore store;
  store.Save(State());
  KeepMany(store, 100);
  std::jthread manager([this](const std::stop_token& end) {
    for (; !end.stop_requested(); std::this_thread::sleep_for(200ms)) socket_.Told();
  });
  store.SendAll(1s);  // it takes longer, but some are taken all the time
  EXPECT_FALSE(store.due());
}

TEST_F(ServiceStoreTest, IsNeverFilled) {
  setenv("FDSTORE", "64", 1);
  ServiceStore store;
  store.Save(State());
  KeepMany(store, 100);
  EXPECT_LT(Sent(store).size(), 64U);
}

TEST_F(ServiceStoreTest, NamesFitIntoOneVariable) {
  constexpr size_t kMost = size_t{128} << 10;
  ServiceStore store;
  store.Save(State());
  size_t bytes = 0;
  for (uint64_t number = 0; number < ServiceStore::kMost; ++number) {
    store.Keep({.number = ~number, .slot = ~number}, null_.get());
    for (const auto& sent : Sent(store)) bytes += sent.size() - Put("").size() + 1;
  }
  EXPECT_LT(bytes, kMost - 1000);
}

TEST_F(ServiceStoreTest, AnotherProcessGoesOn) {
  auto state = State();
  state.stored_facts = 7;
  state.kept = {{.number = 1, .slot = 2}};
  ServiceStore store;
  store.Restore(state);
  store.Save(state);
  store.Drop({.number = 1, .slot = 2});
  EXPECT_THAT(Sent(store), ElementsAre(Put("facts-8"), Removed("facts-7"), Removed("kept-1-2")));
}

TEST_F(ServiceStoreTest, NothingIsLeft) {
  ServiceStore store;
  store.Found("whatever");
  store.Save(State());
  Sent(store);
  store.Clear();
  const auto sent = Sent(store);
  EXPECT_THAT(sent, SizeIs(8));
  EXPECT_THAT(sent, Each(StartsWith("FDSTOREREMOVE=1\n")));
  EXPECT_THAT(sent, Contains(Removed("whatever")));
}

}  // namespace
}  // namespace skopsfs::supervisor
