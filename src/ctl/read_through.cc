#include "ctl/read_through.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <new>
#include <thread>

#include "util/mutex.h"

namespace skopsfs::ctl {
namespace {

constexpr size_t kBuffer = size_t{1} << 20;

// The threads' work. Thread-safe.
class Readers {
 public:
  Readers(std::vector<std::unique_ptr<Target>> targets, Progress& progress,
          const std::function<void(const Report&)>& take)
      : targets_(std::move(targets)), progress_(progress), take_(take) {
    progress_.Begin(targets_.size());
    for (const auto& target : targets_) {
      if (const auto work = target->work()) progress_.Expect(*work);
    }
  }

  // What each thread does until all is done, or there is no memory for one of them to go on.
  void Run() noexcept {
    try {
      Work();
    } catch (...) {
      const util::MutexLock lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      changed_.notify_all();
    }
  }

  // When all threads have ended: throws what one of them has thrown.
  void Check() {
    const util::MutexLock lock(mutex_);
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void Work() {
    std::vector<std::byte> buffer(kBuffer);
    util::MutexLock lock(mutex_);
    while (!failure_) {
      if (const auto job = TakeMember()) {
        lock.unlock();
        ReadMember(*job, buffer);
        lock.lock();
      } else if (next_target_ < targets_.size()) {
        const size_t number = next_target_++;
        ++open_;
        lock.unlock();
        Open(number);
        lock.lock();
      } else if (open_ == 0) {
        return;
      } else {
        changed_.wait(lock);
      }
    }
  }

  struct Running {
    size_t number = 0;
    std::unique_ptr<Target> target;
    size_t members = 0;
    std::atomic<size_t> left = 0;        // members that are not done
    std::atomic<uint64_t> advanced = 0;  // of the work
    util::Mutex mutex;                   // before that of the readers
    Report report GUARDED_BY(mutex);
  };
  struct Job {
    std::shared_ptr<Running> running;
    size_t member;
  };

  std::optional<Job> TakeMember() REQUIRES(mutex_) {
    if (opened_.empty()) return std::nullopt;
    Job job = opened_.front();
    if (++opened_.front().member == job.running->members) opened_.pop_front();
    return job;
  }

  // Runs `call`, which throws when it cannot be told whether the archive is right; false then.
  template <typename Call>
  static bool Try(Running& running, const Call& call) {
    std::string reason;
    try {
      call();
      return true;
    } catch (const std::bad_alloc&) {
      reason = "there is not enough memory";
    } catch (const std::exception& error) {
      reason = error.what();
    }
    const util::MutexLock lock(running.mutex);
    if (running.report.unchecked.empty()) running.report.unchecked = reason;
    return false;
  }

  static ReportFault FaultsOf(Running& running) {
    return [&running](Fault fault) {
      const util::MutexLock lock(running.mutex);
      if (running.report.fault_count++ < Report::kMostFaults) {
        running.report.faults.push_back(std::move(fault));
      }
    };
  }

  void Open(size_t number) {
    auto running = std::make_shared<Running>();
    running->number = number;
    running->target = std::move(targets_[number]);
    const bool was_known = running->target->work().has_value();
    Try(*running, [&] {
      running->target->Open(FaultsOf(*running));
      running->members = running->target->member_count();
    });
    if (!was_known) progress_.Expect(running->target->work().value_or(0));
    running->left = running->members;
    if (running->members == 0) return Finish(*running);
    const util::MutexLock lock(mutex_);
    opened_.push_back({std::move(running), 0});
    changed_.notify_all();
  }

  void ReadMember(const Job& job, std::span<std::byte> buffer) {
    Running& running = *job.running;
    uint64_t bytes = 0;
    Try(running, [&] {
      bytes = running.target->Read(job.member, buffer, FaultsOf(running), [&](uint64_t done) {
        running.advanced += done;
        progress_.Add(done);
      });
    });
    {
      const util::MutexLock lock(running.mutex);
      running.report.bytes += bytes;
    }
    if (--running.left == 0) Finish(running);
  }

  void Finish(Running& running) {
    const bool counts = Try(running, [&] { running.target->Close(); });
    const util::MutexLock report_lock(running.mutex);
    Report& report = running.report;
    report.path = running.target->path();
    report.members = running.members;
    const uint64_t work = running.target->work().value_or(0);
    running.target.reset();
    if (work > running.advanced) progress_.Add(work - running.advanced);
    progress_.ArchiveDone();
    if (!counts) {
      report.faults.clear();
      report.fault_count = 0;
    }
    std::sort(report.faults.begin(), report.faults.end(),
              [](const Fault& a, const Fault& b) { return a.member < b.member; });
    const util::MutexLock lock(mutex_);
    done_[running.number] = std::move(report);
    for (auto next = done_.find(taken_); next != done_.end(); next = done_.find(++taken_)) {
      take_(next->second);
      done_.erase(next);
    }
    --open_;
    changed_.notify_all();
  }

  std::vector<std::unique_ptr<Target>> targets_;
  Progress& progress_;
  const std::function<void(const Report&)>& take_;
  util::Mutex mutex_;  // before that of the progress, which `take_` shows
  std::condition_variable_any changed_;
  size_t next_target_ GUARDED_BY(mutex_) = 0;
  size_t open_ GUARDED_BY(mutex_) = 0;         // archives, those being opened among them
  std::deque<Job> opened_ GUARDED_BY(mutex_);  // of each the next member that nobody has taken
  std::map<size_t, Report> done_ GUARDED_BY(mutex_);  // which wait for others before them
  size_t taken_ GUARDED_BY(mutex_) = 0;               // reports
  std::exception_ptr failure_ GUARDED_BY(mutex_);     // after which nobody goes on
};

}  // namespace

void ReadThrough(std::vector<std::unique_ptr<Target>> targets, unsigned threads, Progress& progress,
                 const std::function<void(const Report&)>& take) {
  Readers readers(std::move(targets), progress, take);
  std::vector<std::thread> others;
  others.reserve(threads);
  try {
    while (others.size() + 1 < threads) others.emplace_back([&] { readers.Run(); });
  } catch (const std::exception&) {
    // It goes slower with those that there are.
  }
  readers.Run();
  for (auto& thread : others) thread.join();
  readers.Check();
}

}  // namespace skopsfs::ctl
