#include "worker/session.h"

#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "util/error.h"
#include "util/log.h"
#include "util/unique_fd.h"
#include "worker/callbacks.h"
#include "worker/current_request.h"
#include "worker/housekeeper.h"
#include "worker/reply.h"

namespace skopsfs::worker {
namespace {

using handover::Tell;
using util::ErrnoError;
using util::Error;
using util::UniqueFd;

// Threads wait for the archives' disk as well as for the processor.
constexpr size_t kFewestThreads = 2 * kSlowThreads;
constexpr size_t kMostThreads =
    handover::SessionState::kMostThreads - 1;        // the last record is the housekeeper's
constexpr auto kPatience = std::chrono::seconds(5);  // with requests, when told to end
constexpr int kWakeSignal = SIGUSR1;                 // takes a worker out of its wait for a request

// What the kernel wants room for: the largest write and its header. Requests are names at most.
constexpr size_t kRequestSize = kMostWrite + (size_t{64} << 10);
constexpr size_t kTouched = size_t{64} << 10;

// Of the kernel, since Linux 6.9: whatever was not answered is asked again.
constexpr int kNotifyResend = 7;
// A number that no request of the kernel has, for the INIT request of old: it waits for no answer.
constexpr uint64_t kReplayed = uint64_t{1} << 62;

// For a mount that only its owner and root may use (allow_root): what any user may ask, because
// only who was let in to look up or to open gets there. As libfuse has it.
bool IsForAnybody(uint32_t operation) {
  constexpr std::array<uint32_t, 6> kAfterOpening = {
      FUSE_READ, FUSE_READDIR, FUSE_READDIRPLUS, FUSE_RELEASE, FUSE_RELEASEDIR, FUSE_INIT};
  return std::find(kAfterOpening.begin(), kAfterOpening.end(), operation) != kAfterOpening.end();
}

}  // namespace

Session::Session(fs::FileSystem& file_system, handover::SessionState& state,
                 handover::Channel& supervisor, const Options& options)
    : file_system_(file_system),
      state_(state),
      supervisor_(supervisor),
      options_(options),
      context_(new CallbackContext{
          .file_system = file_system,
          .checks_permissions = options.mount_is_passed,
          .is_asked_of_each_open = options.only_for.has_value() || !options.mount_is_read_only}) {
  context_->slow_lane.KeepRecord(state_.queued());
  util::TakeMessages(false);
  util::Arguments arguments;
  if (options_.debug) arguments.Option("debug");
  const auto callbacks = Callbacks();
  session_ = fuse_session_new(arguments.get(), &callbacks, sizeof(callbacks), context_.get());
  if (session_ == nullptr) throw Error(EINVAL, util::TakeLastMessage());
  const std::string mounted = "/dev/fd/" + std::to_string(options_.mount);
  if (fuse_session_mount(session_, mounted.c_str()) != 0)
    throw Error(EBADF, util::TakeLastMessage());
  util::TakeMessages(true);
}

Session::~Session() { fuse_session_destroy(session_); }

// Tells libfuse what the kernel said to a predecessor. The answer goes nowhere.
void Session::ReplayInit() {
  const auto init = state_.init();
  std::vector<std::byte> request(init.begin(), init.end());
  std::memcpy(request.data() + offsetof(fuse_in_header, unique), &kReplayed, sizeof(kReplayed));
  fuse_buf buffer{};
  buffer.size = request.size();
  buffer.mem = request.data();
  fuse_session_process_buf(session_, &buffer);
  if (!context_->is_initialized) throw ErrnoError("starting the session", ENOMEM);
  state_.InitAnswered();
}

// The kernel has said hello to a predecessor, and has asked it what it left unanswered.
void Session::TakeOver() {
  if (state_.init_answered()) ReplayInit();
  fuse_out_header resend{};
  resend.len = sizeof(resend);
  resend.error = kNotifyResend;
  if (write(options_.mount, &resend, sizeof(resend)) < 0 && errno != ENODEV) {
    util::LogWarning("the kernel does not ask again for unanswered requests: {}",
                     std::generic_category().message(errno));
  }
  if (state_.init().empty() || state_.init_answered()) return;
  // It died when it was about to answer the kernel's hello. If that is what the kernel asks again,
  // it did not; else it did. All other requests wait for that answer.
  supervisor_.Send(Tell::kServing);
  fuse_buf buffer{};
  int got = 0;
  while ((got = fuse_session_receive_buf(session_, &buffer)) == -EINTR) {
  }
  if (got > 0) {
    fuse_in_header header;
    std::memcpy(&header, buffer.mem, sizeof(header));
    if (header.opcode != FUSE_INIT) ReplayInit();
    Process(buffer);
  }
  std::free(buffer.mem);
}

void Session::Process(fuse_buf& buffer) {
  const std::span request(static_cast<const std::byte*>(buffer.mem), buffer.size);
  fuse_in_header header;
  std::memcpy(&header, request.data(), sizeof(header));
  const CurrentRequest at({header.unique, header.nodeid, 0, header.opcode, 0});
  if (header.opcode == FUSE_INIT) state_.SaveInit(request);
  // The hello went to somebody else, who is gone. What the kernel was told then is not known.
  if (state_.init().empty()) error_ = EPROTO;
  if (options_.only_for && header.uid != *options_.only_for && header.uid != 0 &&
      !IsForAnybody(header.opcode)) {
    return Refuse(header.unique);
  }
  Dispatch(*context_, session_, buffer);
  if (header.opcode != FUSE_INIT) return;
  if (!context_->is_initialized) {  // libfuse had no memory; the kernel never asks again
    state_.ForgetInit();
    error_ = ENOMEM;
    return;
  }
  state_.InitAnswered();
  supervisor_.Send(Tell::kServing);
}

void Session::Refuse(uint64_t unique) const {
  const fuse_out_header reply{.len = sizeof(reply), .error = -EACCES, .unique = unique};
  IsTaken(write(options_.mount, &reply, sizeof(reply)) < 0 ? -errno : 0);
}

// `memory` is for requests: ours rather than libfuse's, and touched before it is used: when this
// process is killed while the kernel copies a request to pages that are not there yet, the request
// fails.
void Session::Serve(handover::RequestRecord& record, std::byte* memory) {
  KeepRecord(&record, &file_system_.counters());
  std::memset(memory, 0, kTouched);
  while (fuse_session_exited(session_) == 0 && error_ == 0) {
    const ssize_t got = read(options_.mount, memory, kRequestSize);
    if (got < 0 && (errno == EINTR || errno == ENOENT)) continue;
    if (got < 0 && errno != ENODEV) error_ = errno;
    if (got <= 0) break;
    fuse_buf buffer{};
    buffer.size = static_cast<size_t>(got);
    buffer.mem = memory;
    Process(buffer);
  }
}

// Waits for the supervisor (false), or for a worker that has ended because the filesystem was
// unmounted (true).
bool Session::WaitForEnd(int worker_ended) {
  std::array<pollfd, 2> events = {pollfd{supervisor_.descriptor(), POLLIN, 0},
                                  pollfd{worker_ended, POLLIN, 0}};
  TEMP_FAILURE_RETRY(poll(events.data(), events.size(), -1));
  if (events[1].revents != 0) return true;
  // Without a supervisor there is nobody whom a mount could be left to.
  if (!supervisor_.Receive()) _exit(EXIT_FAILURE);
  return false;
}

bool Session::Run() {
  struct sigaction wake {};
  wake.sa_handler = [](int) {};  // without SA_RESTART: the wait for a request ends with EINTR
  sigaction(kWakeSignal, &wake, nullptr);
  sigset_t wakes;
  sigemptyset(&wakes);
  sigaddset(&wakes, kWakeSignal);
  sigprocmask(SIG_UNBLOCK, &wakes, nullptr);
  const UniqueFd ended(eventfd(0, EFD_CLOEXEC));
  if (!ended) throw ErrnoError("eventfd");
  if (options_.generation > 1) TakeOver();
  auto housekeeper = std::make_unique<Housekeeper>(
      *context_, state_, session_, CacheInvalidator(options_.mount, options_.notifier),
      supervisor_);
  StartWorkers(ended.get());
  const bool unmounted = WaitForEnd(ended.get());
  // It ends while the workers still answer: it may be waiting for them.
  housekeeper.reset();
  fuse_session_exit(session_);
  Finish();
  if (error_ == EPROTO) throw Error(EPROTO, "another server has served this mount before");
  if (error_ != 0) throw ErrnoError("waiting for requests", error_);
  return unmounted;
}

void Session::Finish() {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (running_ > 0) {
    if (std::chrono::steady_clock::now() > give_up) {
      // A request hangs in a dead network source, or decodes for minutes. A successor is asked
      // again; there is nothing that would have to be saved.
      util::LogWarning("some requests do not end; exiting without them");
      _exit(EXIT_SUCCESS);
    }
    for (auto& worker : workers_) pthread_kill(worker.native_handle(), kWakeSignal);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (auto& worker : workers_) worker.join();
}

void Session::StartWorkers(int ended) {
  // Else the kernel has yet to say hello, to which the answer says that it can be used.
  const bool serves_at_once = !state_.init().empty();
  const size_t count = std::clamp<size_t>(size_t{4} * std::thread::hardware_concurrency(),
                                          kFewestThreads, kMostThreads);
  workers_.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    ++running_;
    try {
      workers_.emplace_back([this, ended, says_so = serves_at_once && i == 0,
                             &record = state_.request(i),
                             memory = std::make_unique_for_overwrite<std::byte[]>(kRequestSize)] {
        if (says_so) supervisor_.Send(Tell::kServing);
        Serve(record, memory.get());
        --running_;
        eventfd_write(ended, 1);
      });
    } catch (const std::exception& error) {
      --running_;
      if (workers_.empty()) throw;
      util::LogWarning("only {} of {} threads could be started: {}", i, count, error.what());
      return;
    }
  }
}

}  // namespace skopsfs::worker
