#include "handover/channel.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "util/error.h"
#include "util/log.h"

namespace skopsfs::handover {
namespace {

using util::ErrnoError;
using util::Error;

struct Head {
  uint32_t tell = 0;
  uint32_t text_size = 0;
  uint64_t number = 0;
  uint64_t slot = 0;
};

}  // namespace

void CheckProtocolVersion(uint64_t other) {
  if (other == kProtocolVersion) return;
  throw Error(EPROTO,
              fmt::format("supervisor and worker do not understand each other: their protocol "
                          "is of version {} here, {} there",
                          kProtocolVersion, other));
}

void Channel::TellOfTooMany() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  util::LogError(
      "the processes of this user have more descriptors in flight than the limit of {} allows: "
      "raise it to 1024 at least (ulimit -n, LimitNOFILE)",
      limit.rlim_cur);
}

std::pair<Channel, Channel> Channel::Pair() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw ErrnoError("connecting to the worker");
  }
  return {Channel(util::UniqueFd(ends[0])), Channel(util::UniqueFd(ends[1]))};
}

void Channel::BoundSending() const {
  constexpr timeval kPatience{.tv_sec = 5, .tv_usec = 0};
  setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
}

bool Channel::Send(Tell tell, uint64_t number, uint64_t slot, int fd, const std::string& text,
                   int flags) const {
  const size_t text_size = std::min(text.size(), Message::kMostText);
  Head head{static_cast<uint32_t>(tell), static_cast<uint32_t>(text_size), number, slot};
  std::array<iovec, 2> parts = {iovec{&head, sizeof(head)},
                                iovec{const_cast<char*>(text.data()), text_size}};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  if (fd >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(part), &fd, sizeof(int));
  }
  const ssize_t sent = TEMP_FAILURE_RETRY(sendmsg(socket_.get(), &message, flags | MSG_NOSIGNAL));
  const int reason = errno;
  if (sent < 0 && reason == ETOOMANYREFS && flags == 0) TellOfTooMany();
  errno = reason;
  return sent >= 0;
}

bool Channel::SendSurely(Tell tell, const std::string& text) const {
  constexpr auto kPause = std::chrono::milliseconds(50);
  constexpr int kMostTries = 100;
  for (int i = 0; i < kMostTries; ++i, std::this_thread::sleep_for(kPause)) {
    if (TrySend(tell, 0, 0, -1, text)) return true;
    if (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM) return false;
  }
  return false;
}

std::optional<Message> Channel::Receive() const {
  Head head;
  std::array<char, Message::kMostText> text;
  std::array<iovec, 2> parts = {iovec{&head, sizeof(head)}, iovec{text.data(), text.size()}};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  message.msg_control = control.data();
  message.msg_controllen = CMSG_LEN(sizeof(int));  // no room for a second one
  ssize_t got = 0;
  // The other end has gone with messages unread (ECONNRESET): what it said before is still there.
  while ((got = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC)) < 0 &&
         (errno == EINTR || errno == ECONNRESET)) {
  }
  if (got < 0) return std::nullopt;
  Message received;
  const cmsghdr* const part = CMSG_FIRSTHDR(&message);
  if (part != nullptr && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(part), sizeof(int));
    received.fd.Reset(fd);
  }
  if (got == 0) return std::nullopt;
  if (static_cast<size_t>(got) < sizeof(head) ||
      static_cast<size_t>(got) != sizeof(head) + head.text_size) {
    throw Error(EPROTO, "a message between supervisor and worker is damaged");
  }
  received.tell = static_cast<Tell>(head.tell);
  received.number = head.number;
  received.slot = head.slot;
  received.text.assign(text.data(), head.text_size);
  return received;
}

Message Channel::Expect(Tell tell, bool with_descriptor) const {
  auto message = Receive();
  if (!message || message->tell != tell || (with_descriptor && !message->fd)) {
    throw Error(EPROTO, "supervisor and worker do not understand each other");
  }
  return std::move(*message);
}

}  // namespace skopsfs::handover
