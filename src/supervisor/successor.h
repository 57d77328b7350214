#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "handover/channel.h"
#include "handover/supervisor_state.h"
#include "util/unique_fd.h"

namespace skopsfs::supervisor {

// The next supervisor of the same mount, as this one sees it: one at a time comes to the listener,
// asks for the mount, gets its state once no worker serves, and says when its own worker is ready,
// and when that serves. Until then this supervisor can go on by itself. Owns the listener, and the
// connection. Use from one thread.
class Successor {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Stage {
    kNone,      // nobody has come
    kCame,      // it has said nothing yet
    kAsks,      // for the mount
    kHasState,  // and starts a worker
    kReady,     // and was told to serve
    kServes,    // the mount is no more this supervisor's
  };

  // Without a listener nobody ever comes.
  explicit Successor(util::UniqueFd listener) : listener_(std::move(listener)) {}

  Stage stage() const { return stage_; }
  bool has_state() const { return stage_ >= Stage::kHasState; }
  int listener() const { return listener_.get(); }

  // To be polled for reading; then OnReadable() is to be called.
  int descriptor() const {
    return stage_ == Stage::kNone ? listener_.get() : channel_.descriptor();
  }
  // Returns whether the stage is another one now. `device` and `source` are those of the mount that
  // it must ask for; device 0 is any.
  bool OnReadable(uint64_t device, const std::string& source);

  // When it has waited too long at its stage.
  std::optional<Clock::time_point> due() const;

  // It gets the state, and the descriptors of that. False when it does not take them.
  bool Send(const handover::SupervisorState& state);
  // This process is about to end with its mount. Nothing is said, so that the other one comes
  // again, until it finds nobody and mounts. Not once it has the state.
  void LetGo();
  // It is gone, or is to go: the mount stays where it is. Another one may come.
  void Refuse(const std::string& why);

 private:
  void Enter(Stage stage);
  void OnMessage(const handover::Message& message, uint64_t device, const std::string& source);

  util::UniqueFd listener_;
  handover::Channel channel_{util::UniqueFd()};
  Stage stage_ = Stage::kNone;
  Clock::time_point since_{};
};

}  // namespace skopsfs::supervisor
