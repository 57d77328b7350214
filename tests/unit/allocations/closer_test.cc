// The closer when memory ends: what it cannot find out then, it has to find out the next time.

#include "supervisor/closer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "support/failing_allocations.h"
#include "support/temp_folder.h"

namespace skopsfs::supervisor {
namespace {

using testing::AllocationControl;

// A FUSE filesystem that nobody serves, for as long as this lives.
class Unserved {
 public:
  Unserved() {
    const auto options =
        "fd=" + std::to_string(device_.get()) + ",rootmode=40000,user_id=0,group_id=0";
    is_mounted = mount("unserved", folder_.path().c_str(), "fuse", 0, options.c_str()) == 0;
  }
  ~Unserved() { umount2(folder_.path().c_str(), MNT_DETACH); }
  util::UniqueFd Open() const {
    return util::UniqueFd(open(folder_.path().c_str(), O_PATH | O_CLOEXEC));
  }

  bool is_mounted = false;

 private:
  testing::TempFolder folder_;
  util::UniqueFd device_{open("/dev/fuse", O_RDWR | O_CLOEXEC)};
};

// Whether there was a child that closed what it was given.
bool HadItClosed(Closer& closer) {
  const pid_t child = waitpid(-1, nullptr, 0);
  return child > 0 && closer.Ended(child);
}

TEST(CloserAllocations, AsksAgainWhetherItHasToWait) {
  if (geteuid() != 0 || access("/dev/fuse", F_OK) != 0) GTEST_SKIP() << "needs root and /dev/fuse";
  const Unserved unserved;
  ASSERT_TRUE(unserved.is_mounted);
  for (uint64_t number = 0;; ++number) {
    Closer closer;
    bool is_left = false;
    {
      auto fd = unserved.Open();
      ASSERT_TRUE(fd);
      const testing::FailingAllocations failing(AllocationControl::kOne, number);
      closer.Close(std::move(fd));
      is_left = testing::Allocations().failed == 0;
    }
    const bool had_it_closed = HadItClosed(closer);
    if (is_left) {
      EXPECT_TRUE(had_it_closed);
      return;
    }
    closer.Close(unserved.Open());
    EXPECT_TRUE(HadItClosed(closer)) << "closed here, after allocation " << number << " failed";
  }
}

}  // namespace
}  // namespace skopsfs::supervisor
