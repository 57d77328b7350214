#include "ctl/app.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "ctl/text.h"
#include "ctl/tree.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/log.h"
#include "util/number.h"

namespace skopsfs::ctl {
namespace {

constexpr double kUsualInterval = 2;   // seconds
constexpr auto kJustTheFlag = "true";  // what the library makes of an option without a value

double ParseInterval(const std::string& text) {
  constexpr double kLeast = 0.1;
  constexpr double kMost = 86400;
  if (text == kJustTheFlag) return kUsualInterval;
  const auto seconds = util::ParseNumber<double>(text);
  if (!seconds || !(*seconds >= kLeast) || *seconds > kMost) {
    throw util::Error(
        EINVAL, fmt::format("--watch needs seconds from {} to {}, not '{}'", kLeast, kMost, text));
  }
  return *seconds;
}

void AddPaths(CLI::App& command, CheckOptions& options, const std::string& help) {
  constexpr unsigned kMostThreads = 256;
  command.add_option("PATH", options.paths, help)->required()->option_text(" ");
  command
      .add_option("-j,--jobs", options.threads,
                  "how many to read at the same time (as many as there are processors, 16 at most)")
      ->check(CLI::Range(1U, kMostThreads))
      ->option_text("N");
}

int Dispatch(const CLI::App& app, Request& request) {
  if (app.got_subcommand("check")) return Check(request.check);
  if (app.got_subcommand("warm")) return Warm(request.warm);
  if (app.got_subcommand("tree")) return ShowTree(request.tree, request.tree_json);
  if (!request.watch.empty()) request.status.watch = ParseInterval(request.watch);
  return ShowStatus(request.status);
}

}  // namespace

std::unique_ptr<CLI::App> MakeApp(Request& request) {
  auto app = std::make_unique<CLI::App>(
      "Looks after .skops archives and mounts of skopsfs. Exit codes: 0 all is good, 1 something "
      "is wrong, 2 it could not be done.",
      "skopsfsctl");
  app->set_version_flag("-V,--version", "skopsfsctl " SKOPSFS_VERSION, "print the version");
  app->set_help_flag("-h,--help", "print this help");
  app->require_subcommand(1);

  CLI::App* const status =
      app->add_subcommand("status", "show mounts, their archives and who maps them");
  status->add_option("MOUNTPOINT", request.status.mountpoint, "this mount only")->option_text(" ");
  status->add_flag("--json", request.status.json, "print one JSON document");
  status->add_flag("--processes", request.status.processes, "name the processes that map members");
  status->add_flag("--watch", request.watch, "look again every SECONDS, 2 if not given")
      ->option_text("[=SECONDS]");

  CLI::App* const check =
      app->add_subcommand("check", "read archives through and say what is wrong");
  AddPaths(*check, request.check, "archives, or folders of them, mounted or not");
  check->add_flag("--json", request.check.json, "print one JSON document");

  CLI::App* const tree =
      app->add_subcommand("tree", "show the arrays of an archive by their names");
  tree->add_option("ARCHIVE", request.tree, "a .skops file, or the directory of one on a mount")
      ->required()
      ->option_text(" ");
  tree->add_flag("--json", request.tree_json, "print one JSON document");

  CLI::App* const warm = app->add_subcommand("warm", "read files of mounts into the page cache");
  AddPaths(*warm, request.warm, "files or directories on a mount");
  return app;
}

int Run(const std::vector<std::string>& arguments) {
  util::KeepTimeZone();
  signal(SIGIO, SIG_IGN);  // see archive/writer_detector.h
  // What the libraries log is what is reported here.
  util::SetLogSink([](util::LogLevel, const std::string&) { return true; });
  Request request;
  const auto app = MakeApp(request);
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app->parse(reversed);
    return Dispatch(*app, request);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app->exit(error);  // help, or the version
    const auto unknown = app->remaining();
    const std::string what = app->get_subcommands().empty() && !unknown.empty()
                                 ? fmt::format("there is no subcommand {}", NameText(unknown[0]))
                                 : error.what();
    fmt::print(stderr, "skopsfsctl: {} (see skopsfsctl --help)\n", what);
  } catch (const util::Error& error) {
    fmt::print(stderr, "skopsfsctl: {}\n", error.what());
  }
  return kExitNotDone;
}

}  // namespace skopsfs::ctl
