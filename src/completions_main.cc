// Prints the completions of a program for a shell. Run when the programs are built; not installed.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string_view>

#include "cli/completions.h"
#include "cli/options.h"
#include "ctl/app.h"

namespace {

using namespace skopsfs;

// As CLI11 has it; paths are none.
std::optional<cli::CommandOption> FromCli11(const CLI::Option& option) {
  if (option.get_snames().empty() && option.get_lnames().empty()) return std::nullopt;
  cli::CommandOption out{
      .name = "", .value = option.get_option_text(), .help = option.get_description(), .list = {}};
  if (!option.get_snames().empty()) out.letter = option.get_snames()[0][0];
  if (!option.get_lnames().empty()) out.name = option.get_lnames()[0];
  if (out.value.empty() && option.get_items_expected_max() > 0) out.value = option.get_type_name();
  if (out.value.starts_with("[=")) {
    out.value_is_optional = true;
    out.value = out.value.substr(2, out.value.size() - 3);
  }
  return out;
}

cli::Command FromCli11(const CLI::App& app) {
  cli::Command out{
      .name = app.get_name(), .help = app.get_description(), .options = {}, .commands = {}};
  for (const auto* option : app.get_options()) {
    if (auto found = FromCli11(*option)) out.options.push_back(std::move(*found));
  }
  for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    out.commands.push_back(FromCli11(*command));
  }
  return out;
}

std::optional<cli::Command> Find(std::string_view program) {
  if (program == "skopsfs") return cli::DescribeOptions();
  if (program != "skopsfsctl") return std::nullopt;
  ctl::Request request;
  return FromCli11(*ctl::MakeApp(request));
}

int Print(std::string_view shell, std::string_view program) {
  const auto command = Find(program);
  if (!command) return EXIT_FAILURE;
  if (shell != "bash" && shell != "zsh" && shell != "fish") return EXIT_FAILURE;
  const auto text = shell == "bash"  ? cli::BashCompletions(*command)
                    : shell == "zsh" ? cli::ZshCompletions(*command)
                                     : cli::FishCompletions(*command);
  return std::fputs(text.c_str(), stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 3) return Print(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return EXIT_FAILURE;
  }
  std::fputs("usage: skopsfs_completions bash|zsh|fish PROGRAM\n", stderr);
  return EXIT_FAILURE;
}
