#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "util/unique_fd.h"

namespace skopsfs::handover {

// The version of all that a supervisor and a worker of another program must agree on: the messages
// below, the layouts of the memories in this folder, the bits of a node id, and the Fingerprint()
// of ArchiveIndex and NameTree. Each tells the other its version at first, and refuses another one.
// Who changes any of these gives it a new number; for a counter that is put after all others there
// is room.
inline constexpr uint64_t kProtocolVersion = 1;

// Throws util::Error(EPROTO) when `other` is not this program's.
void CheckProtocolVersion(uint64_t other);

// What supervisor and worker tell each other, by numbers that stay. tests/integration/shim.c knows
// some of them.
enum class Tell : uint32_t {
  // To the worker, in this order.
  kHello = 19,  // number: the protocol's version
  // kMount: fd: /dev/fuse; number: whether somebody else has mounted; slot: its device; text: where
  kMount = 1,
  kSession = 2,     // fd: SessionState
  kSlots = 3,       // fd: SlotStore
  kMetrics = 4,     // fd: Counters
  kNotifier = 18,   // fd: of NotifierProcess
  kSource = 5,      // fd: the folder; number: of SourceIs; text: its path
  kSourcePath = 6,  // the same of its canonical path
  kUser = 7,        // number, slot, text: of ServingUser, user, group, and "stays" if it does

  // From the worker: it has seen the source and is ready to take over; number: the protocol's
  // version.
  kPrepared = 8,

  // To the worker, in this order.
  kInherit =
      9,  // fd: of the archive version of `slot`; `number` is the keeper's; any number of them
  kQuarantine = 10,  // an archive version is not to be served; text: its identity and why
  kServe = 11,       // take over; number: the worker's generation, from 1 on

  // From the worker while it serves.
  kServing = 12,     // the kernel has been answered
  kKeep = 13,        // fd: of the archive version of `slot`, to be kept under `number`
  kDrop = 14,        // what is kept under `number`
  kSourceGone = 17,  // see Catalog::SourceIsGone()

  // From the worker at any time.
  kLog = 15,  // text: a line for the log; number: its util::LogLevel

  // To the worker while it serves: finish the requests that you have, and end.
  kEnd = 16,

  // Between a supervisor and its successor, in this order. At any time kRefused, with the reason as
  // its text: then the mount stays where it is. kServe comes once kPrepared did, and kServing ends
  // it. What belongs to the mount is no more of the one before from then on.
  // The one before begins, with kHello, once it has mounted. number: SupervisorState::kVersion
  kSuccessor = 20,   // number: SupervisorState::kVersion; slot: device of the mount; text: source
  kState = 21,       // fd: the facts, sealed; number: how many descriptors follow
  kDescriptor = 22,  // fd
  kRefused = 23,
};

// What kSource says of the source. One that is to be opened anew is sent back, as kSource and
// kSourcePath, before kPrepared.
enum SourceIs : uint64_t { kSingleArchive = 1, kToBeOpenedAnew = 2, kMountPoint = 4 };

struct Message {
  Tell tell{};
  uint64_t number = 0;
  uint64_t slot = 0;
  std::string text;   // at most kMostText bytes
  util::UniqueFd fd;  // none when none was sent, or when there was no room for it

  static constexpr size_t kMostText = 8192;
};

// One end of the connection between supervisor and worker, which carries whole messages in order.
// Owns its socket. Sending is thread-safe, receiving is for one thread.
class Channel {
 public:
  explicit Channel(util::UniqueFd socket) : socket_(std::move(socket)) {}

  // Two ends that are connected.
  static std::pair<Channel, Channel> Pair();

  // Logs that the kernel refuses to send one more descriptor (ETOOMANYREFS). It counts those that
  // processes of one user have sent and nobody has received.
  static void TellOfTooMany();

  // From now on sending fails when the other end does not listen for five seconds.
  void BoundSending() const;

  int descriptor() const { return socket_.get(); }

  // `fd` is sent as a duplicate. False when the other end is gone.
  bool Send(Tell tell, uint64_t number = 0, uint64_t slot = 0, int fd = -1,
            const std::string& text = {}, int flags = 0) const;

  // The same of a text alone, again and again for some seconds while the kernel has no memory for
  // it, or the other end does not listen.
  bool SendSurely(Tell tell, const std::string& text = {}) const;

  // The same without waiting. False also when the other end does not read. That too many
  // descriptors are under way is not logged here, as that may pass.
  bool TrySend(Tell tell, uint64_t number = 0, uint64_t slot = 0, int fd = -1,
               const std::string& text = {}) const {
    return Send(tell, number, slot, fd, text, MSG_DONTWAIT);
  }

  // Waits for a message. Nothing when the other end is gone. Throws util::Error(EPROTO) when the
  // message makes no sense.
  std::optional<Message> Receive() const;

  // The same for a message that has to be `tell`. Throws util::Error(EPROTO) when it is another
  // one, or has no descriptor though it should.
  Message Expect(Tell tell, bool with_descriptor = false) const;

 private:
  util::UniqueFd socket_;
};

}  // namespace skopsfs::handover
