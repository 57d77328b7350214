#include "handover/counters.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "support/errors.h"

namespace skopsfs::handover {
namespace {

using testing::ErrnoOf;
using Access = SharedCounters::Access;

const RequestCounters& Of(const Counters& counters, Operation operation) {
  return counters.requests[static_cast<size_t>(operation)];
}

TEST(Counters, BeginAtZero) {
  const auto counters = std::make_unique<Counters>();
  EXPECT_EQ(counters->source_bytes, 0U);
  EXPECT_EQ(Of(*counters, Operation::kOther).durations.back(), 0U);
}

TEST(Counters, DurationsGoToTheFirstBoundThatTheyDoNotExceed) {
  const auto counters = std::make_unique<Counters>();
  constexpr auto& kBounds = RequestCounters::kBounds;
  counters->Finished(Operation::kRead, 0);
  counters->Finished(Operation::kRead, kBounds[0]);
  counters->Finished(Operation::kRead, kBounds[0] + 1);
  counters->Finished(Operation::kRead, kBounds.back() + 1);
  const auto& read = Of(*counters, Operation::kRead);
  EXPECT_EQ(read.durations[0], 2U);
  EXPECT_EQ(read.durations[1], 1U);
  EXPECT_EQ(read.durations.back(), 1U);
  EXPECT_EQ(read.nanoseconds, static_cast<uint64_t>(2 * kBounds[0] + kBounds.back() + 2));
  EXPECT_EQ(Of(*counters, Operation::kOpen).nanoseconds, 0U);
}

TEST(Counters, AClockThatWentBackTakesNothingAway) {
  const auto counters = std::make_unique<Counters>();
  counters->Finished(Operation::kRead, -5);
  EXPECT_EQ(Of(*counters, Operation::kRead).durations[0], 1U);
  EXPECT_EQ(Of(*counters, Operation::kRead).nanoseconds, 0U);
}

TEST(Counters, ErrorsByNumberAndAllOthersTogether) {
  const auto counters = std::make_unique<Counters>();
  counters->Failed(Operation::kOpen, EIO);
  counters->Failed(Operation::kOpen, EIO);
  counters->Failed(Operation::kOpen, ENOTCONN);
  counters->Failed(Operation::kOpen, EXDEV);
  counters->Failed(Operation::kOpen, -1);
  const auto& open = Of(*counters, Operation::kOpen);
  EXPECT_EQ(open.errors[0], 2U);
  EXPECT_EQ(open.errors[RequestCounters::kErrors.size() - 1], 1U);
  EXPECT_EQ(open.errors[RequestCounters::kErrors.size()], 2U);
}

TEST(SharedCounters, AreThereForTheNextOne) {
  const auto memory = SharedCounters::MakeMemory();
  {
    const SharedCounters worker(memory, Access::kWrite);
    worker->Served(Kind::kDecoded, 7);
  }
  const SharedCounters next(memory, Access::kWrite);
  const SharedCounters reader(memory, Access::kRead);
  next->Served(Kind::kDecoded, 1);
  EXPECT_EQ(reader->served_bytes[1], 8U);
}

TEST(SharedCounters, CannotBeCutOffByAWorker) {
  const auto memory = SharedCounters::MakeMemory();
  EXPECT_NE(ftruncate(memory.get(), 0), 0);
}

TEST(SharedCounters, OfAnotherVersionAreRefused) {
  const util::UniqueFd small(memfd_create("small", MFD_CLOEXEC));
  EXPECT_EQ(ErrnoOf([&] { SharedCounters(small, Access::kRead); }), EPROTO);
  const util::UniqueFd zeros(memfd_create("zeros", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(zeros.get(), SharedCounters::kMemorySize), 0);
  EXPECT_EQ(ErrnoOf([&] { SharedCounters(zeros, Access::kRead); }), EPROTO);
}

}  // namespace
}  // namespace skopsfs::handover
