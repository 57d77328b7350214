// Prints the completions of a program for a shell. Run when the programs are built; not installed.

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>

#include "cli/completions.h"
#include "cli/options.h"

namespace {

using namespace skopsfs;

int Print(std::string_view shell, std::string_view program) {
  if (program != "skopsfs") return EXIT_FAILURE;
  const auto command = cli::DescribeOptions();
  if (shell != "bash" && shell != "zsh" && shell != "fish") return EXIT_FAILURE;
  const auto text = shell == "bash"  ? cli::BashCompletions(command)
                    : shell == "zsh" ? cli::ZshCompletions(command)
                                     : cli::FishCompletions(command);
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
