// What the shells make of them is tested in tests/packaging/test_completions.py.

#include "cli/completions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/options.h"

namespace skopsfs::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A program with commands.
Command Tool() {
  const CommandOption json{
      .letter = 'j', .name = "json", .value = "", .help = "for programs: it's [JSON]", .list = {}};
  const CommandOption watch{.name = "watch",
                            .value = "SECONDS",
                            .value_is_optional = true,
                            .help = "again and again",
                            .list = {}};
  const CommandOption to{.name = "to", .value = "FILE", .help = "where to", .list = {}};
  return {.name = "tool",
          .help = "",
          .options = {{.letter = 'h', .name = "help", .value = "", .help = "help", .list = {}}},
          .commands = {{.name = "check", .help = "look", .options = {json, to}, .commands = {}},
                       {.name = "status", .help = "tell", .options = {watch}, .commands = {}}}};
}

TEST(Completions, CommandsInBash) {
  const auto text = BashCompletions(Tool());
  EXPECT_THAT(text, HasSubstr("complete -F _tool tool\n"));
  EXPECT_THAT(text, HasSubstr("check | status) command="));
  EXPECT_THAT(text, HasSubstr("check) words='-j --json --to=' ;;"));
  EXPECT_THAT(text, HasSubstr("status) words='--watch' ;;"));
  EXPECT_THAT(text, HasSubstr("'') words='-h --help' ;;"));
  EXPECT_THAT(text, HasSubstr("words='check status'\n"));
  EXPECT_THAT(text, HasSubstr("status:watch) [[ -n $apart ]] || return ;;"))
      << "a number, but for a word of its own";
  EXPECT_THAT(text, Not(HasSubstr("check:to)"))) << "a path";
}

TEST(Completions, CommandsInZsh) {
  const auto text = ZshCompletions(Tool());
  EXPECT_THAT(text, ::testing::StartsWith("#compdef tool\n"));
  EXPECT_THAT(text, HasSubstr("'(-j --json)--json[for programs\\: it'\\''s \\[JSON\\]]' \\\n"));
  EXPECT_THAT(text, HasSubstr("'--watch=-[again and again]::SECONDS: ' \\\n"));
  EXPECT_THAT(text, HasSubstr("'--to=[where to]:FILE:_files' \\\n"));
  EXPECT_THAT(text, HasSubstr("'check:look'"));
}

TEST(Completions, CommandsInFish) {
  const auto text = FishCompletions(Tool());
  EXPECT_THAT(text, HasSubstr("complete -c tool -n __fish_use_subcommand -f -a check -d 'look'\n"));
  EXPECT_THAT(text,
              HasSubstr("complete -c tool -n '__fish_seen_subcommand_from check' -s j -l json "
                        "-d 'for programs: it\\'s [JSON]'\n"));
  EXPECT_THAT(text, HasSubstr("-l to -r -d 'where to'\n"));
  EXPECT_THAT(text, HasSubstr("-l watch -d 'again and again'\n"));
}

TEST(Completions, OfTheOptionTable) {
  const auto command = DescribeOptions();
  EXPECT_EQ(command.name, "skopsfs");
  for (const auto& option : command.options) {
    EXPECT_TRUE(option.letter != 0 || !option.name.empty());
    EXPECT_EQ(option.list.empty(), option.letter != 'o');
    // The usage breaks its lines.
    EXPECT_THAT(Usage(), HasSubstr(option.help.substr(0, option.help.find(' '))));
  }
}

}  // namespace
}  // namespace skopsfs::cli
