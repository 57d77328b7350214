#include "supervisor/predecessor.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "util/error.h"

namespace skopsfs::supervisor {
namespace {

using handover::SupervisorState;
using handover::Tell;
using util::Error;

constexpr timeval kAnswerPatience{.tv_sec = 60, .tv_usec = 0};

[[noreturn]] void ThrowRefused(const std::string& why) {
  throw Error(EBUSY, "the server that has the mount goes on with it: " + why);
}

}  // namespace

std::optional<handover::Message> Predecessor::Receive(Tell tell) const {
  errno = 0;
  auto message = channel_.Receive();
  if (!message && errno == EAGAIN) {
    throw Error(ETIMEDOUT, "the server that has the mount does not answer");
  }
  if (message && message->tell == Tell::kRefused) ThrowRefused(message->text);
  if (message && message->tell != tell) {
    throw Error(EPROTO, "the server that has the mount says what is not understood");
  }
  return message;
}

bool Predecessor::WaitForMount() const {
  setsockopt(descriptor(), SOL_SOCKET, SO_RCVTIMEO, &kAnswerPatience, sizeof(kAnswerPatience));
  return Receive(Tell::kHello).has_value();
}

std::optional<SupervisorState> Predecessor::AskForState(uint64_t device,
                                                        const std::string& source) const {
  channel_.Send(Tell::kSuccessor, SupervisorState::kVersion, device, -1, source);
  const auto facts = Receive(Tell::kState);
  if (!facts) return std::nullopt;
  std::vector<util::UniqueFd> received;
  std::vector<int> descriptors;
  for (uint64_t i = 0; i < facts->number; ++i) {
    auto one = Receive(Tell::kDescriptor);
    if (!one) return std::nullopt;
    if (!one->fd) {
      throw Error(EMFILE, "no descriptor is left for the mount: raise the limit (ulimit -n)");
    }
    descriptors.push_back(one->fd.get());
    received.push_back(std::move(one->fd));
  }
  auto state = SupervisorState::From(handover::ReadSealedMemory(facts->fd.get()), descriptors);
  for (auto& fd : received) fd.Release();
  return state;
}

void Predecessor::OnReadable() {
  const auto message = channel_.Receive();
  if (message && message->tell == Tell::kRefused) ThrowRefused(message->text);
  if (!message) channel_ = handover::Channel(util::UniqueFd());  // nobody else has the mount now
  lets_serve_ = is_told_ || !message;
}

void Predecessor::SayServing() const {
  if (descriptor() < 0 || channel_.SendSurely(Tell::kServing)) return;
  if (errno != EPIPE && errno != ECONNRESET) throw util::ErrnoError("taking the mount over");
}

void Predecessor::SayReady() {
  if (!std::exchange(is_told_, true)) channel_.Send(Tell::kPrepared);
}

}  // namespace skopsfs::supervisor
