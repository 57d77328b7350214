#pragma once

#include <optional>
#include <string>
#include <utility>

#include "handover/channel.h"
#include "handover/supervisor_state.h"

namespace skopsfs::supervisor {

// The supervisor before this one, as this one sees it: the other end of Successor. Owns the
// connection. Use from one thread.
class Predecessor {
 public:
  explicit Predecessor(handover::Channel channel) : channel_(std::move(channel)) {}

  // Waits until it has mounted. False when it has ended before. Throws util::Error when it does not
  // answer.
  bool WaitForMount() const;
  // Asks it for that mount, of a device and source, and waits until it has ended its worker. The
  // descriptors in the state are the caller's. Nothing when it has ended before. Throws util::Error
  // when it refuses, or does not answer.
  std::optional<handover::SupervisorState> AskForState(uint64_t device,
                                                       const std::string& source) const;

  // To be polled for reading; then OnReadable() is to be called. -1 once it has ended.
  int descriptor() const { return channel_.descriptor(); }
  // Throws util::Error when it goes on by itself.
  void OnReadable();

  // A worker is ready. When it has ended, or has answered, that worker is to serve.
  void SayReady();
  bool LetsServe() const { return lets_serve_; }
  // That worker serves. From now on the mount is this process's.
  // Throws util::Error when that cannot be said to one that may still be there.
  void SayServing() const;

 private:
  std::optional<handover::Message> Receive(handover::Tell tell) const;

  handover::Channel channel_;
  bool is_told_ = false;
  bool lets_serve_ = false;
};

}  // namespace skopsfs::supervisor
