#include "supervisor/kept_descriptors.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>

#include "support/log_capture.h"

namespace skopsfs::supervisor {
namespace {

using namespace std::chrono_literals;
using handover::Channel;
using handover::Tell;
using SupervisorKept = handover::SupervisorState::Kept;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Clock = KeptDescriptors::Clock;

util::UniqueFd Open() { return util::UniqueFd(open("/proc/self/exe", O_RDONLY | O_CLOEXEC)); }
bool IsOpen(int fd) { return fcntl(fd, F_GETFD) != -1; }

class KeptDescriptorsTest : public ::testing::Test {
 protected:
  int Keep(uint64_t number, uint64_t slot) {
    auto fd = Open();
    const int raw = fd.get();
    kept_.Keep(number, slot, std::move(fd));
    return raw;
  }

  const testing::LogCapture log_;
  Closer closer_;
  ServiceStore store_;
  KeptDescriptors kept_{closer_, store_};
};

TEST_F(KeptDescriptorsTest, TheNextProgramGetsThemAll) {
  const int first = Keep(7, 10);
  const int second = Keep(8, 20);
  handover::SupervisorState state;
  kept_.SaveTo(state);
  EXPECT_THAT(state.kept_descriptors, ElementsAre(first, second));
  const SupervisorKept expected[] = {{7, 10}, {8, 20}};
  EXPECT_THAT(state.kept, ::testing::ElementsAreArray(expected));
}

TEST_F(KeptDescriptorsTest, TheNextWorkerGetsWhatWasNotDropped) {
  Keep(1, 10);
  const int dropped = Keep(2, 20);
  Keep(3, 30);
  kept_.Drop(2);
  kept_.Drop(99);
  EXPECT_FALSE(IsOpen(dropped));
  const auto [ours, theirs] = Channel::Pair();
  EXPECT_TRUE(kept_.SendTo(ours, Clock::now() + 1min));
  for (const uint64_t number : {1, 3}) {
    const auto message = theirs.Expect(Tell::kInherit, true);
    EXPECT_EQ(message.number, number);
    EXPECT_EQ(message.slot, 10 * number);
  }
}

TEST_F(KeptDescriptorsTest, OneThatIsReplacedIsClosed) {
  const int first = Keep(1, 10);
  const int second = Keep(1, 10);
  EXPECT_FALSE(IsOpen(first));
  EXPECT_TRUE(IsOpen(second));
}

TEST_F(KeptDescriptorsTest, AWorkerThatTakesTooLongIsNotWaitedFor) {
  Keep(1, 10);
  const auto [ours, theirs] = Channel::Pair();
  EXPECT_FALSE(kept_.SendTo(ours, Clock::now() - 1s));
}

TEST_F(KeptDescriptorsTest, RoomIsLeftForOtherDescriptors) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  rlimit low = limit;
  low.rlim_cur = 64;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const int first = Keep(1, 10);
  const int second = Keep(2, 20);
  setrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_TRUE(IsOpen(first));
  EXPECT_FALSE(IsOpen(second));
  EXPECT_THAT(log_.texts(), ElementsAre(HasSubstr("no descriptor is left")));
}

}  // namespace
}  // namespace skopsfs::supervisor
