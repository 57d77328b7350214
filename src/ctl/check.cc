#include "ctl/check.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <thread>

#include "ctl/app.h"
#include "ctl/collect.h"
#include "ctl/read_through.h"
#include "ctl/text.h"
#include "util/json.h"
#include "util/log.h"

namespace skopsfs::ctl {
namespace {

unsigned ThreadsFor(unsigned wanted) {
  constexpr unsigned kMost = 16;
  return wanted != 0 ? wanted : std::clamp(std::thread::hardware_concurrency(), 1U, kMost);
}

// Takes note of what is found, and prints it as it comes or as one document at the end. Not
// thread-safe.
class Printer {
 public:
  Printer(std::string_view verb, bool json, Progress& progress)
      : verb_(verb), is_json_(json), progress_(progress) {
    if (is_json_) json_.BeginObject().Key("archives").BeginArray();
  }

  void Take(const Report& report) {
    ++archives_;
    members_ += report.members;
    bytes_ += report.bytes;
    if (report.fault_count > 0) ++faulty_;
    if (!report.unchecked.empty()) ++unchecked_;
    if (is_json_) {
      AddJson(report);
    } else if (!report.is_right()) {
      progress_.Around([&] { Print(report); });
    }
  }

  // A path that could not even be looked at.
  void Problem(const std::string& path, const std::string& reason) {
    ++unchecked_;
    if (is_json_) return AddJson({.path = path, .unchecked = reason});
    progress_.Around([&] { PrintUnchecked(path, reason); });
  }

  int Finish() {
    if (is_json_) {
      json_.EndArray().Key("members").Number(members_).Key("bytes").Number(bytes_);
      json_.Key("faulty").Number(faulty_).Key("unchecked").Number(unchecked_);
      json_.Key("seconds").Real(progress_.seconds()).EndObject();
      fmt::print("{}", json_.Line());
    } else {
      progress_.Around([&] { fmt::print("{}\n", Summary()); });
    }
    return faulty_ > 0 ? kExitWrong : unchecked_ > 0 ? kExitNotDone : kExitGood;
  }

 private:
  static void PrintUnchecked(const std::string& path, std::string_view reason) {
    std::fflush(stdout);
    fmt::print(stderr, "skopsfsctl: {}: {}\n", NameText(path), util::Printable(reason));
  }

  static void Print(const Report& report) {
    for (const auto& fault : report.faults) {
      const auto member = fault.member.empty() ? "" : fmt::format("{}: ", NameText(fault.member));
      fmt::print("{}: {}{}\n", NameText(report.path), member, util::Printable(fault.reason));
    }
    if (report.fault_count > report.faults.size()) {
      fmt::print("{}: {} more\n", NameText(report.path),
                 CountText(report.fault_count - report.faults.size(), "fault"));
    }
    std::fflush(stdout);
    if (!report.unchecked.empty()) PrintUnchecked(report.path, report.unchecked);
  }

  void AddJson(const Report& report) {
    json_.BeginObject().Key("path").Text(report.path).Key("ok").Bool(report.is_right());
    json_.Key("members").Number(report.members).Key("bytes").Number(report.bytes);
    json_.Key("faults").BeginArray();
    for (const auto& fault : report.faults) {
      json_.BeginObject().Key("member").TextOrNull(fault.member);
      json_.Key("reason").Text(fault.reason).EndObject();
    }
    json_.EndArray().Key("faults_left_out").Number(report.fault_count - report.faults.size());
    json_.Key("unchecked").TextOrNull(report.unchecked).EndObject();
  }

  std::string Summary() const {
    const double seconds = progress_.seconds();
    const auto speed = static_cast<uint64_t>(static_cast<double>(bytes_) / seconds);
    std::string text =
        fmt::format("{} {}, {}: {} in {:.1f} s ({}/s)", verb_, CountText(archives_, "archive"),
                    CountText(members_, "member"), SizeText(bytes_), seconds, SizeText(speed));
    if (faulty_ > 0) text += fmt::format(", {} faulty", faulty_);
    if (unchecked_ > 0) text += fmt::format(", {} not {}", unchecked_, verb_);
    return text + (faulty_ + unchecked_ == 0 ? ", all good" : "");
  }

  const std::string_view verb_;
  const bool is_json_;
  Progress& progress_;
  util::JsonWriter json_;
  uint64_t archives_ = 0;
  uint64_t members_ = 0;
  uint64_t bytes_ = 0;
  uint64_t faulty_ = 0;     // archives
  uint64_t unchecked_ = 0;  // archives and paths
};

int ReadAll(const CheckOptions& options, std::string_view verb,
            const Collector::Options& collecting) {
  Progress progress(STDERR_FILENO);
  Printer printer(verb, options.json, progress);
  ArchiveTarget::Memory memory;
  Collector collector(ReadMounts(), collecting, memory,
                      [&](const auto& path, const auto& why) { printer.Problem(path, why); });
  for (const auto& path : options.paths) collector.Add(path);
  ReadThrough(collector.Take(), ThreadsFor(options.threads), progress,
              [&](const Report& report) { printer.Take(report); });
  return printer.Finish();
}

}  // namespace

int Check(const CheckOptions& options) { return ReadAll(options, "checked", {}); }

int Warm(const CheckOptions& options) {
  return ReadAll(options, "warmed", {.compares = false, .only_mounts = true});
}

}  // namespace skopsfs::ctl
