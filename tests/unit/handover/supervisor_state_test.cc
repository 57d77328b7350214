#include "handover/supervisor_state.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "handover/channel.h"
#include "support/errors.h"
#include "util/error.h"

namespace skopsfs::handover {
namespace {

using testing::ErrnoOf;
using ::testing::HasSubstr;

// So many open descriptors, the same ones each time.
std::vector<int> Descriptors(size_t count) {
  static std::vector<util::UniqueFd> open_ones;
  while (open_ones.size() < count) open_ones.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::vector<int> all;
  for (size_t i = 0; i < count; ++i) all.push_back(open_ones[i].get());
  return all;
}

SupervisorState Sample() {
  SupervisorState state;
  state.protocol = kProtocolVersion;
  state.program_path = "/usr/bin/skopsfs";
  state.mountpoint = "/mnt/=\n\xff";
  state.source_path = "/models";
  state.canonical_source_path = "/srv/models";
  state.mount_id = 12;
  state.mount_device = 99;
  state.user_stays = true;
  state.generation = std::numeric_limits<uint32_t>::max();
  state.last_crash = "at noon";
  state.worker_pid = 1234;
  state.left_behind = {5, 6};
  state.kept = {{.number = 1, .slot = 2}, {.number = 3, .slot = 4}};
  state.quarantined = {{.slot = 8,
                        .identity = {.device = 1, .inode = 2, .size = 3, .mtime = -4, .ctime = 5},
                        .reason = "it crashes workers"},
                       {.slot = 9, .identity = {}, .reason = ""}};
  return SupervisorState::From(state.Facts(), Descriptors(12));
}

std::string WhyNot(const std::string& facts, const std::vector<int>& descriptors) {
  try {
    SupervisorState::From(facts, descriptors);
  } catch (const util::Error& error) {
    EXPECT_EQ(error.code(), EPROTO);
    return error.what();
  }
  return "";
}

std::string Replaced(std::string text, const std::string& old, const std::string& replacement) {
  return text.replace(text.find(old), old.size(), replacement);
}

TEST(SupervisorState, IsReadAsItWasWritten) {
  const auto state = Sample();
  EXPECT_EQ(state.mountpoint, "/mnt/=\n\xff");
  EXPECT_EQ(state.quarantined.at(0).identity.mtime, -4);
  EXPECT_EQ(state.unique_mount_id, std::nullopt);
  EXPECT_EQ(state.Descriptors(), Descriptors(12));
  EXPECT_EQ(state.kept_descriptors.back(), Descriptors(12).back());
  EXPECT_EQ(SupervisorState::From(state.Facts(), state.Descriptors()), state);
  EXPECT_EQ(SupervisorState::FromExecuted(state.FactsToExecute()), state);
}

TEST(SupervisorState, WithoutAWorkerHasNoneOfItsDescriptors) {
  auto state = Sample();
  state.worker_pid.reset();
  const auto read = SupervisorState::From(state.Facts(), Descriptors(10));
  EXPECT_EQ(read.worker_channel, -1);
  EXPECT_EQ(read.worker_program, -1);
  EXPECT_EQ(read.kept_descriptors.size(), 2U);
}

TEST(SupervisorState, WhatANewerProgramAddsIsIgnored) {
  const auto state = Sample();
  const std::string more = state.Facts() + std::string("colour=green\0colour=\0", 21);
  EXPECT_EQ(SupervisorState::From(more, state.Descriptors()), state);
}

TEST(SupervisorState, IsRefusedWithTheReason) {
  const auto state = Sample();
  const auto facts = state.Facts();
  const auto good = state.Descriptors();
  EXPECT_THAT(WhyNot(Replaced(facts, "skopsfs-state=1", "skopsfs-state=2"), good),
              HasSubstr("is of version 2, and this program's of 1"));
  EXPECT_THAT(WhyNot(Replaced(facts, "generation=", "generations="), good),
              HasSubstr("lacks its generation"));
  EXPECT_THAT(WhyNot(facts + std::string("generation=1\0", 13), good),
              HasSubstr("has more than one generation"));
  EXPECT_THAT(WhyNot(Replaced(facts, "user_stays=1", "user_stays=2"), good),
              HasSubstr("has a user_stays that makes no sense: \"2\""));
  EXPECT_THAT(WhyNot(Replaced(facts, "kept=1 2", "kept=1"), good), HasSubstr("has a kept that"));
  EXPECT_THAT(WhyNot(Replaced(facts, "kept=1 2", "kept=1 2 3"), good),
              HasSubstr("has a kept that"));
  EXPECT_THAT(WhyNot(Replaced(facts, "mount_id=12", "mount_id=-1"), good),
              HasSubstr("has a mount_id that"));
  EXPECT_THAT(WhyNot(Replaced(facts, "protocol=", "protocol=9"), good), HasSubstr("protocol"));
  EXPECT_THAT(WhyNot(facts.substr(1), good), HasSubstr("is something else"));
  EXPECT_THAT(WhyNot("", good), HasSubstr("lacks its skopsfs-state"));
  EXPECT_THAT(WhyNot(facts.substr(0, facts.size() - 1), good), HasSubstr("is cut off"));
  EXPECT_THAT(WhyNot(facts, Descriptors(11)), HasSubstr("lacks a descriptor"));
  EXPECT_THAT(WhyNot(facts, Descriptors(13)), HasSubstr("has a descriptor too many"));
  EXPECT_THAT(WhyNot(Replaced(facts, "worker_pid=1234", "worker_pid=-1"), good),
              HasSubstr("has a process that is no worker's"));
  EXPECT_THAT(WhyNot(Replaced(facts, "left_behind=5", "left_behind=0"), good),
              HasSubstr("has a process that is no worker's"));
  EXPECT_THAT(WhyNot(Replaced(facts, "worker_pid=1234", "worker_pid=4294967295"), good),
              HasSubstr("has a worker_pid that"));
  EXPECT_THAT(WhyNot(Replaced(facts, "user=0", "user=4294967296"), good),
              HasSubstr("has a user that"));
  std::string many = facts;
  for (size_t i = 0; i < SupervisorState::kMostFacts; ++i) many += std::string("=\0", 2);
  EXPECT_THAT(WhyNot(many, good), HasSubstr("is too large"));
  auto twice = good;
  twice.back() = twice.front();
  EXPECT_THAT(WhyNot(facts, twice), HasSubstr("has a descriptor twice"));
  auto closed = good;
  closed.back() = 1'000'000;
  EXPECT_THAT(WhyNot(facts, closed), HasSubstr("lacks a descriptor"));
}

TEST(SupervisorState, EachCutIsRefused) {
  const auto state = Sample();
  const auto facts = state.Facts();
  for (size_t size = 0; size < facts.size(); ++size) {
    const std::string why = WhyNot(facts.substr(0, size), state.Descriptors());
    EXPECT_NE(why, "") << size;
  }
}

TEST(SealedMemory, HoldsWhatNobodyCanChange) {
  const auto memory = SealedMemory("facts");
  EXPECT_EQ(ReadSealedMemory(memory.get()), "facts");
  EXPECT_EQ(write(memory.get(), "x", 1), -1);
}

TEST(SealedMemory, OtherFilesAreRefused) {
  const util::UniqueFd open_memory(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const util::UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const util::UniqueFd large(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(large.get(), SupervisorState::kMostBytes + 1), 0);
  fcntl(large.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  for (const int fd : {open_memory.get(), null.get(), large.get(), -1}) {
    EXPECT_EQ(ErrnoOf([&] { ReadSealedMemory(fd); }), EPROTO) << fd;
  }
  const std::string too_large(SupervisorState::kMostBytes + 1, 'x');
  EXPECT_EQ(ErrnoOf([&] { SealedMemory(too_large); }), EPROTO);
}

}  // namespace
}  // namespace skopsfs::handover
