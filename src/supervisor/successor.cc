#include "supervisor/successor.h"

#include <fmt/format.h>

#include "supervisor/handover_socket.h"
#include "util/error.h"
#include "util/log.h"

namespace skopsfs::supervisor {

using handover::SupervisorState;
using handover::Tell;

void Successor::Enter(Stage stage) {
  stage_ = stage;
  since_ = Clock::now();
}

std::optional<Successor::Clock::time_point> Successor::due() const {
  constexpr auto kPatience = std::chrono::seconds(10);
  constexpr auto kPatienceOfWorker = std::chrono::seconds(30);  // with requests in progress
  switch (stage_) {
    case Stage::kCame:
    case Stage::kHasState:
      return since_ + kPatience;
    case Stage::kAsks:
      return since_ + kPatienceOfWorker;
    default:  // one that is to serve ends, or serves some time
      return std::nullopt;
  }
}

bool Successor::OnReadable(uint64_t device, const std::string& source) {
  const auto before = stage_;
  if (stage_ == Stage::kNone) {
    if (auto channel = AcceptAt(listener_.get())) {
      channel_ = std::move(*channel);
      channel_.BoundSending();
      channel_.Send(Tell::kHello, SupervisorState::kVersion);
      Enter(Stage::kCame);
    }
    return false;
  }
  try {
    const auto message = channel_.Receive();
    if (message) {
      OnMessage(*message, device, source);
    } else {
      Refuse("it has ended");
    }
  } catch (const util::Error& error) {
    Refuse(error.what());
  }
  return stage_ != before;
}

void Successor::OnMessage(const handover::Message& message, uint64_t device,
                          const std::string& source) {
  if (stage_ == Stage::kCame && message.tell == Tell::kSuccessor) {
    if (message.number != SupervisorState::kVersion) {
      return Refuse(fmt::format("it wants the state of version {}, and this one has {}",
                                message.number, SupervisorState::kVersion));
    }
    if (message.text != source) {
      return Refuse(fmt::format("its source is {}, and here it is {}", util::Quoted(message.text),
                                util::Quoted(source)));
    }
    if (device != 0 && message.slot != device) {
      return Refuse("it does not see this mount at its mountpoint");
    }
    return Enter(Stage::kAsks);
  }
  if (stage_ == Stage::kHasState && message.tell == Tell::kPrepared) {
    if (!channel_.SendSurely(Tell::kServe)) return Refuse("it has ended");
    return Enter(Stage::kReady);
  }
  if (stage_ == Stage::kReady && message.tell == Tell::kServing) return Enter(Stage::kServes);
  Refuse("it says what a successor does not say then");
}

bool Successor::Send(const SupervisorState& state) try {
  constexpr auto kPatience = std::chrono::seconds(5);
  const auto end = Clock::now() + kPatience;
  const auto descriptors = state.Descriptors();
  const auto memory = handover::SealedMemory(state.Facts());
  if (!channel_.Send(Tell::kState, descriptors.size(), 0, memory.get())) return false;
  for (const int fd : descriptors) {
    if (Clock::now() > end || !channel_.Send(Tell::kDescriptor, 0, 0, fd)) return false;
  }
  Enter(Stage::kHasState);
  return true;
} catch (const util::Error& error) {
  util::LogError("{}", error.what());
  return false;
}

void Successor::LetGo() {
  channel_ = handover::Channel(util::UniqueFd());
  Enter(Stage::kNone);
}

void Successor::Refuse(const std::string& why) {
  util::LogWarning("a successor does not take the mount over: {}", why);
  if (has_state()) {  // or it would think that nobody else serves
    channel_.SendSurely(Tell::kRefused, why);
  } else {
    channel_.TrySend(Tell::kRefused, 0, 0, -1, why);
  }
  LetGo();
}

}  // namespace skopsfs::supervisor
