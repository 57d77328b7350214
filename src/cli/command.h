#pragma once

#include <string>
#include <vector>

namespace skopsfs::cli {

// A word that may stand in a list, with commas between: "name", or "name=" when a value follows.
struct ListWord {
  std::string word;
  std::string help;
};

struct CommandOption {
  char letter = 0;   // 0: none
  std::string name;  // the long one; empty: none
  std::string
      value;  // what it takes, as the usage text has it: "SECONDS", "on|off"; empty: nothing
  bool value_is_optional = false;
  std::string help;
  std::vector<ListWord> list;  // when the value is a list of such words
};

// A program as one who types its name may go on: what completions are made from. Programs have
// either paths or commands after their options.
struct Command {
  std::string name;
  std::string help;
  std::vector<CommandOption> options;
  std::vector<Command> commands;
};

}  // namespace skopsfs::cli
