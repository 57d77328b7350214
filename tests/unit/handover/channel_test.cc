#include "handover/channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>

#include "util/error.h"

namespace skopsfs::handover {
namespace {

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

TEST(Channel, GivesWhatWasSent) {
  auto [one, other] = Channel::Pair();
  ASSERT_TRUE(one.Send(Tell::kKeep, 7, 8, STDIN_FILENO, "text"));
  ASSERT_TRUE(one.Send(Tell::kDrop, 9));
  const auto first = other.Receive();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->tell, Tell::kKeep);
  EXPECT_EQ(first->number, 7U);
  EXPECT_EQ(first->slot, 8U);
  EXPECT_EQ(first->text, "text");
  EXPECT_TRUE(first->fd);
  const auto second = other.Receive();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->tell, Tell::kDrop);
  EXPECT_FALSE(second->fd);
}

TEST(Channel, CutsTextThatIsTooLong) {
  auto [one, other] = Channel::Pair();
  ASSERT_TRUE(one.Send(Tell::kLog, 0, 0, -1, std::string(100'000, 'x')));
  EXPECT_EQ(other.Receive()->text.size(), Message::kMostText);
}

TEST(Channel, TheOtherEndIsGone) {
  auto [one, other] = Channel::Pair();
  other = Channel(util::UniqueFd());
  EXPECT_FALSE(one.Receive());
  EXPECT_FALSE(one.Send(Tell::kDrop));
}

// The kernel says first that the other end left messages unread.
TEST(Channel, WhatWasSaidBeforeTheOtherEndWentIsNotLost) {
  auto [one, other] = Channel::Pair();
  ASSERT_TRUE(other.Send(Tell::kKeep, 1));
  ASSERT_TRUE(one.Send(Tell::kEnd));
  other = Channel(util::UniqueFd());
  const auto message = one.Receive();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->number, 1U);
  EXPECT_FALSE(one.Receive());
}

TEST(Channel, DamagedMessages) {
  auto [one, other] = Channel::Pair();
  for (const std::string& bytes : {std::string("x"), std::string(24, '\xff')}) {
    ASSERT_EQ(send(one.descriptor(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    EXPECT_THROW(other.Receive(), util::Error);
  }
}

TEST(Channel, ExpectWantsThatMessageAndItsDescriptor) {
  auto [one, other] = Channel::Pair();
  one.Send(Tell::kMount);
  EXPECT_THROW(other.Expect(Tell::kSlots), util::Error);
  one.Send(Tell::kMount);
  EXPECT_THROW(other.Expect(Tell::kMount, true), util::Error);
  one.Send(Tell::kMount, 0, 0, STDIN_FILENO);
  EXPECT_TRUE(other.Expect(Tell::kMount, true).fd);
}

// A stranger at the other end must not fill our table of descriptors.
TEST(Channel, MoreDescriptorsThanExpectedAreNotTaken) {
  auto [one, other] = Channel::Pair();
  const size_t before = OpenDescriptors();
  for (const size_t size : {size_t{0}, size_t{24}}) {
    std::array<char, 24> bytes{};
    iovec part{bytes.data(), size};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(3 * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(3 * sizeof(int));
    const std::array<int, 3> fds = {0, 1, 2};
    std::memcpy(CMSG_DATA(rights), fds.data(), sizeof(fds));
    ASSERT_GE(sendmsg(one.descriptor(), &message, 0), 0);
    other.Receive().reset();
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

}  // namespace
}  // namespace skopsfs::handover
