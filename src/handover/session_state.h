#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "handover/counters.h"
#include "util/progress.h"
#include "util/shared_memory.h"
#include "util/unique_fd.h"

namespace skopsfs::handover {

// A request that a thread of a worker is at.
struct RequestRecord {
  std::atomic<uint64_t> unique;  // the kernel's number for it; 0: none
  std::atomic<uint64_t> node;
  std::atomic<int64_t> since;  // when the thread began with it, nanoseconds of CLOCK_MONOTONIC
  std::atomic<uint32_t> operation;
  std::atomic<uint32_t> crashed;  // the signal that the thread died of while at it
  std::atomic<uint64_t> begun;    // how many there were
  std::atomic<int64_t> asked;     // when it came; before `since` if it had to wait for its turn
  util::Progress progress;
};

// The same at one moment.
struct RequestSeen {
  uint64_t unique = 0;
  uint64_t node = 0;
  int64_t since = 0;
  uint32_t operation = 0;
  uint32_t crashed = 0;
  int64_t asked = 0;
  bool is_queued = false;  // no thread is at it yet: others are to blame if it takes long
  int64_t got_on = 0;      // see util::Progress; not before `since`
  util::WaitsFor waits_for{};
};

// `RequestSeen::crashed` of one that took too long, rather than a signal.
inline constexpr uint32_t kTimedOut = 1000;

// The kernel sets it in the number of a request that it asks again.
inline constexpr uint64_t kAskedAgain = uint64_t{1} << 63;

// A worker sets it in the number of what it does unasked for a slot. The kernel never does.
inline constexpr uint64_t kUnasked = uint64_t{1} << 61;

Operation OperationOf(uint32_t operation);

// What a request of that number asks, as the log calls it.
const char* NameOfOperation(uint32_t operation);

// What a worker leaves to its successor and to the supervisor about the session: the kernel's INIT
// request, and what its threads were at. It lies in memory that outlives the worker. Owns the
// mapping. Thread-safe.
class SessionState {
 public:
  static constexpr size_t kMostThreads = 64;
  static constexpr size_t kMostInit = 512;  // bytes; the kernel's is 104

  static util::UniqueFd MakeMemory();

  // For the supervisor, which does not map what a worker can write to. `memory` is the descriptor.
  // Where it cannot be read or written there are none, and the log says so.
  static std::vector<RequestSeen> ReadRequests(int memory);
  static void ForgetRequests(int memory);
  static uint64_t RequestsBegun(int memory);  // grows as long as a worker takes any
  static bool HasInit(int memory);
  static bool KernelResends(int memory);

  // Whether the kernel whose INIT request this is asks again what was not answered. False for
  // anything else.
  static bool OffersResend(std::span<const std::byte> init);
  // Whether that kernel drops nodes that it is told of (FUSE_NOTIFY_PRUNE, Linux 6.18).
  static bool OffersPrune(std::span<const std::byte> init);

  // Throws util::Error when the memory holds something else.
  explicit SessionState(const util::UniqueFd& memory);

  // The INIT request of the kernel as it came; empty before it came.
  std::span<const std::byte> init() const;
  void SaveInit(std::span<const std::byte> request);
  void ForgetInit() { memory_->init_size = 0; }  // it could not be answered
  // True when it was surely answered. When false, it may have been.
  bool init_answered() const { return memory_->init_answered != 0; }
  void InitAnswered() { memory_->init_answered = 1; }

  RequestRecord& request(size_t thread) { return memory_->requests[thread]; }
  // For the oldest of those that wait for a thread.
  RequestRecord& queued() { return memory_->requests[kMostThreads]; }
  // When the oldest request came that a thread is at, or that waits for a thread. INT64_MAX when
  // there is none.
  int64_t OldestRequest() const;

 private:
  static constexpr uint64_t kMagic = 0x3273736573706b73;  // "skpsess2": it is such memory

  using Requests = std::array<RequestRecord, kMostThreads + 1>;  // the last one: queued()

  struct Memory {
    std::atomic<uint64_t> magic;
    std::atomic<uint64_t> init_size;
    std::atomic<uint64_t> init_answered;
    std::array<std::byte, kMostInit> init;
    Requests requests;
  };

  static bool Read(int memory, Requests& requests);

  const util::SharedMapping mapping_;
  Memory* const memory_;
};

}  // namespace skopsfs::handover
