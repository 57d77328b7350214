// The part of the program that runs as a worker.

#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>

#include "cli/run.h"
#include "fs/file_system.h"
#include "handover/session_state.h"
#include "util/background.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/log.h"
#include "worker/current_request.h"
#include "worker/kept_by_supervisor.h"
#include "worker/sandbox.h"
#include "worker/session.h"
#include "worker/setup.h"

namespace skopsfs::cli {
namespace {

// How many archives may be open at once; the supervisor has raised the limit as far as it goes.
size_t DescriptorBudget() {
  constexpr rlim_t kOthers = 256;  // folders being listed, the session, what threads hold briefly
  constexpr rlim_t kMost = 65536;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) throw util::ErrnoError("getrlimit");
  const rlim_t now = limit.rlim_cur;
  return std::min(now > 2 * kOthers ? now - kOthers : now / 2, kMost);
}

// What large archives took is given back when they are let go, not kept for the next ones.
// And one heap for all threads: each of its own grows by a page at a time, with a call for each.
void GiveMemoryBack() {
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
  mallopt(M_ARENA_MAX, 1);
}

// Rather than what `ulimit -s` says, which may be less than reading a schema takes.
void SetStackSize() {
  constexpr size_t kSize = size_t{worker::kSanitized ? 8 : 2} << 20;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return;
  pthread_attr_setstacksize(&attributes, kSize);
  pthread_setattr_default_np(&attributes);
  pthread_attr_destroy(&attributes);
}

void CountStart(handover::Counters& counters, uint32_t generation) {
  const int64_t now = util::RealNow();
  int64_t never = 0;
  counters.started.compare_exchange_strong(never, now);
  counters.worker_started = now;
  if (generation > 1) ++counters.restarts;
}

void Serve(handover::Channel& supervisor, const Options& options) {
  GiveMemoryBack();
  SetStackSize();
  // Who has mounted; the sandbox may make this process another user.
  const auto& words = options.mount_options;
  const bool for_owner = std::find(words.begin(), words.end(), "allow_root") != words.end();
  const pid_t parent = getppid();  // which the sandbox does not allow to ask for
  const auto owner = for_owner ? std::optional(getuid()) : std::nullopt;
  auto setup = worker::ReceiveSetup(supervisor);
  if (options.sandbox) util::GiveUpPowers(setup.user);
  if (setup.opens_source_anew) worker::OpenSourceAnew(supervisor, setup);
  auto& state = *new handover::SessionState(setup.session);
  worker::MarkCrashes();
  if (options.sandbox) {
    worker::EnterSandbox(setup.source);
  } else {
    util::LogWarning("--sandbox=off: the worker keeps all powers");
  }
  auto store = std::make_unique<handover::SlotStore>(setup.slots);
  auto& counters =
      *new handover::SharedCounters(setup.metrics, handover::SharedCounters::Access::kWrite);
  auto inheritance = worker::ReceiveInheritance(supervisor);

  // What follows is never destroyed, whatever is thrown: that would undo what a successor needs.
  store->Hold();
  const size_t descriptors = DescriptorBudget();
  auto& keeper = *new worker::KeptBySupervisor(supervisor, inheritance.generation,
                                               inheritance.descriptors.size(), descriptors);
  source::Source source(std::move(setup.source));
  if (!options.shows_others) source.HideOthers();
  auto& file_system = *new fs::FileSystem(
      std::move(source),
      {.revalidate = options.revalidate,
       .budget = {.descriptors = descriptors, .keep_pages = options.keep_archives},
       .decoder_bytes = options.decoder_memory << 20,
       .proves_first = options.proves_first,
       .by_name = options.by_name,
       .counters = &*counters,
       .facts = {.versions = ThisVersion(),
                 .mountpoint = setup.mountpoint,
                 .options = options.given,
                 .supervisor = parent}},
      std::move(store), &keeper);
  auto& catalog = file_system.catalog();
  for (auto& [identity, reason] : inheritance.quarantined) catalog.Quarantine(identity, reason);
  for (auto& descriptor : inheritance.descriptors) catalog.Inherit(std::move(descriptor));
  auto& session = *new worker::Session(
      file_system, state, supervisor,
      {.mount = setup.mount.Release(),
       .notifier = setup.notifier.Release(),
       .mount_is_passed = setup.mount_is_passed,
       .mount_is_read_only = !setup.mount_is_passed || options.passed_is_read_only,
       .generation = inheritance.generation,
       .debug = options.debug,
       .only_for = owner});
  catalog.TakeOver();
  CountStart(*counters, inheritance.generation);
  session.Run();
  keeper.SendRest();
  catalog.open_archives().DropLastPages();
}

}  // namespace

void RunWorker(int descriptor, const Options& options) {
  handover::Channel supervisor{util::UniqueFd(descriptor)};
  worker::BecomeWorker(supervisor);
  const bool may_print = options.debug || !options.sandbox || worker::kSanitized;
  if (!options.foreground || !may_print) util::LeaveTerminal();
  try {
    Serve(supervisor, options);
    fflush(nullptr);
    _exit(EXIT_SUCCESS);
  } catch (const util::Error& error) {
    if (error.code() != ECANCELED) util::LogError("{}", error.what());
  } catch (const std::exception& error) {
    util::LogError("{}", error.what());
  }
  _exit(kExitFailure);
}

}  // namespace skopsfs::cli
