#include "fuse/session.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <csignal>
#include <cstdarg>
#include <cstdlib>
#include <mutex>
#include <system_error>
#include <thread>

#include "fuse/callbacks.h"
#include "fuse/mountpoint.h"
#include "fuse/stderr_capture.h"
#include "util/error.h"
#include "util/log.h"
#include "util/unique_fd.h"

namespace skopsfs::fuse {
namespace {

using util::ErrnoError;
using util::Error;
using util::UniqueFd;

// Threads wait for the archives' disk as well as for the processor.
constexpr unsigned kFewestThreads = 16;
constexpr unsigned kMostThreads = 64;
constexpr auto kPatience = std::chrono::seconds(5);  // with requests, when told to end
constexpr int kWakeSignal = SIGUSR1;                 // takes a worker out of its wait for a request

// What libfuse said last; the reason when a mount fails.
std::mutex last_message_mutex;
std::string last_message;

void LogFromLibfuse(fuse_log_level level, const char* format, va_list arguments) {
  std::array<char, 1024> text;
  vsnprintf(text.data(), text.size(), format, arguments);
  std::string line = text.data();
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  if (line.empty()) return;
  if (level >= FUSE_LOG_DEBUG) return static_cast<void>(fprintf(stderr, "%s\n", line.c_str()));
  const std::lock_guard lock(last_message_mutex);
  last_message = line;
}

std::string TakeLastMessage() {
  const std::lock_guard lock(last_message_mutex);
  return std::exchange(last_message, {});
}

sigset_t EndSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

// libfuse's argument list.
class Arguments {
 public:
  Arguments() { fuse_opt_add_arg(&list_, "skopsfs"); }
  ~Arguments() { fuse_opt_free_args(&list_); }
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  void Option(const std::string& option) {
    fuse_opt_add_arg(&list_, "-o");
    fuse_opt_add_arg(&list_, option.c_str());
  }
  fuse_args* get() { return &list_; }

 private:
  fuse_args list_ = FUSE_ARGS_INIT(0, nullptr);
};

// Commas and backslashes in the value of an option.
std::string Escaped(const std::string& value) {
  std::string out;
  for (const char c : value) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::string LibraryVersion() { return fuse_pkgversion(); }

// Runs the filesystem's housekeeping once a second, on a thread of its own: dropping a name waits
// for requests that concern it, which other threads must answer meanwhile.
class Session::Housekeeper {
 public:
  explicit Housekeeper(Session& session)
      : session_(session), thread_([this](const std::stop_token& stop) { Run(stop); }) {}

 private:
  void Run(const std::stop_token& stop) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any wake;
    while (!wake.wait_for(lock, stop, std::chrono::seconds(1),
                          [&] { return stop.stop_requested(); })) {
      try {
        for (const auto& stale : session_.file_system_.Tidy()) {
          // An error means that the kernel has forgotten the name already.
          fuse_lowlevel_notify_inval_entry(session_.session_, stale.parent.number(),
                                           stale.name.c_str(), stale.name.size());
        }
      } catch (const std::exception& error) {
        util::LogError("housekeeping: {}", error.what());
      }
    }
  }

  Session& session_;
  std::jthread thread_;
};

Session::Session(fs::FileSystem& file_system, MountOptions options, std::function<void()> on_ready)
    : file_system_(file_system),
      options_(std::move(options)),
      context_(new CallbackContext{file_system, std::move(on_ready)}) {
  fuse_set_log_func(LogFromLibfuse);
}

Session::~Session() {
  if (session_ == nullptr) return;
  Unmount();
  fuse_session_destroy(session_);
}

void Session::Mount() {
  // Blocked from here on, so that none can end the process and leave a dead mount, and in all
  // threads made later; WaitForEnd() takes them from a descriptor.
  const auto signals = EndSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  Arguments arguments;
  arguments.Option("ro,nosuid,nodev,default_permissions,subtype=skopsfs,fsname=" +
                   Escaped(options_.source));
  for (const auto& option : options_.options) arguments.Option(option);
  if (options_.debug) arguments.Option("debug");
  const auto callbacks = Callbacks();
  session_ = fuse_session_new(arguments.get(), &callbacks, sizeof(callbacks), context_.get());
  if (session_ == nullptr) throw Error(EINVAL, TakeLastMessage());
  std::string reason;
  {
    const StderrCapture capture;
    mounted_ = fuse_session_mount(session_, options_.mountpoint.c_str()) == 0;
    reason = capture.Line();
  }
  mount_id_ = TopMountId(options_.mountpoint);
  if (mounted_) return;
  if (reason.empty()) reason = TakeLastMessage();
  throw Error(EIO, "cannot mount on " + util::Quoted(options_.mountpoint) + ": " + reason);
}

void Session::Serve() {
  fuse_buf buffer{};
  while (fuse_session_exited(session_) == 0) {
    const int got = fuse_session_receive_buf(session_, &buffer);
    if (got == -EINTR) continue;
    if (got <= 0) break;
    fuse_session_process_buf(session_, &buffer);
  }
  std::free(buffer.mem);
}

// Waits for a signal to end, or for a worker that has ended because the filesystem was unmounted.
void Session::WaitForEnd(int signals, int worker_ended) {
  std::array<pollfd, 2> events = {pollfd{signals, POLLIN, 0}, pollfd{worker_ended, POLLIN, 0}};
  while (poll(events.data(), events.size(), -1) < 0 && errno == EINTR) {
  }
}

void Session::Run() {
  struct sigaction wake {};
  wake.sa_handler = [](int) {};  // without SA_RESTART: the wait for a request ends with EINTR
  sigaction(kWakeSignal, &wake, nullptr);
  const auto end_signals = EndSignals();
  const UniqueFd signals(signalfd(-1, &end_signals, SFD_CLOEXEC));
  const UniqueFd ended(eventfd(0, EFD_CLOEXEC));
  if (!signals || !ended) throw ErrnoError("waiting for signals");
  auto housekeeper = std::make_unique<Housekeeper>(*this);

  std::atomic<size_t> running = 0;
  std::vector<std::thread> workers;
  StartWorkers(workers, running, ended.get());
  WaitForEnd(signals.get(), ended.get());
  // It ends while the workers still answer: it may be waiting for them.
  housekeeper.reset();
  fuse_session_exit(session_);
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (running > 0) {
    if (std::chrono::steady_clock::now() > give_up) Abandon();
    for (auto& worker : workers) pthread_kill(worker.native_handle(), kWakeSignal);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (auto& worker : workers) worker.join();
  Unmount();
}

void Session::StartWorkers(std::vector<std::thread>& workers, std::atomic<size_t>& running,
                           int ended) {
  const size_t count =
      std::clamp(4 * std::thread::hardware_concurrency(), kFewestThreads, kMostThreads);
  workers.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    ++running;
    try {
      workers.emplace_back([this, &running, ended] {
        Serve();
        --running;
        eventfd_write(ended, 1);
      });
    } catch (const std::system_error& error) {
      --running;
      if (workers.empty()) throw;
      util::LogWarning("only {} of {} threads could be started: {}", i, count, error.what());
      return;
    }
  }
}

// A request hangs in a dead network source, or decodes for minutes. The mount goes all the same,
// and there is nothing that would have to be saved.
void Session::Abandon() {
  util::LogWarning("some requests do not end; leaving without them");
  Unmount();
  _exit(EXIT_SUCCESS);
}

void Session::Unmount() {
  if (!std::exchange(mounted_, false)) return;
  // By path, so only while it is ours that is there: after a lazy unmount another may be.
  if (TopMountId(options_.mountpoint) == mount_id_) fuse_session_unmount(session_);
}

}  // namespace skopsfs::fuse
