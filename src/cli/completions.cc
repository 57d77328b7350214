#include "cli/completions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace skopsfs::cli {
namespace {

using Words = std::vector<std::string>;

std::string Replaced(std::string text, std::string_view what, std::string_view by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

// As one word of bash or zsh.
std::string Quoted(const std::string& text) { return "'" + Replaced(text, "'", "'\\''") + "'"; }

// As one word of fish.
std::string FishQuoted(const std::string& text) {
  return "'" + Replaced(Replaced(text, "\\", "\\\\"), "'", "\\'") + "'";
}

// "on" and "off" of "on|off"; empty for what is no choice.
Words Choices(const std::string& value) {
  Words words;
  for (size_t at = 0; value.find('|') != std::string::npos && at <= value.size();) {
    const size_t end = std::min(value.find('|', at), value.size());
    words.push_back(value.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

bool IsUser(const CommandOption& option) { return option.value.starts_with("USER"); }

bool IsPath(const CommandOption& option) {
  return option.value.starts_with("FILE") || option.value.starts_with("PATH");
}

Words ListWords(const CommandOption& option) {
  Words words;
  for (const auto& [word, help] : option.list) words.push_back(word);
  return words;
}

Words CommandNames(const Command& program) {
  Words names;
  for (const auto& command : program.commands) names.push_back(command.name);
  return names;
}

// --- bash ----------------------------------------------------------------------------------------

// Its options, as they are typed.
Words OptionWords(const Command& command) {
  Words words;
  for (const auto& option : command.options) {
    if (option.letter != 0) words.push_back(fmt::format("-{}", option.letter));
    if (option.name.empty()) continue;
    const bool wants_value = !option.value.empty() && !option.value_is_optional;
    words.push_back(fmt::format("--{}{}", option.name, wants_value ? "=" : ""));
  }
  return words;
}

// A line that says what may follow an option; nothing for what takes no value, or a path.
std::string BashValue(const std::string& command, const CommandOption& option) {
  if (option.value.empty() || IsPath(option)) return "";
  Words patterns;
  if (!option.name.empty()) patterns.push_back(fmt::format("{}:{}", command, option.name));
  if (option.letter != 0) patterns.push_back(fmt::format("{}:-{}", command, option.letter));
  // A number, or a name that nobody knows.
  std::string then = option.value_is_optional ? "[[ -n $apart ]] || return" : "return";
  if (!option.list.empty()) {
    then = fmt::format("list=yes words={}",
                       Quoted(fmt::format("{}", fmt::join(ListWords(option), " "))));
  } else if (const auto choices = Choices(option.value); !choices.empty()) {
    then = fmt::format("words={}", Quoted(fmt::format("{}", fmt::join(choices, " "))));
  } else if (IsUser(option)) {
    then = "words=$(compgen -u)";
  }
  return fmt::format("        {}) {} ;;\n", fmt::join(patterns, " | "), then);
}

constexpr std::string_view kBashStart =
    R"(# Completions of PROGRAM in bash. Made from its options when it was built.
_PROGRAM() {
    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local option= prefix= command= words= list= apart= i
    COMPREPLY=()
)";

// Bash takes words apart at '=', unless COMP_WORDBREAKS says otherwise.
constexpr std::string_view kBashOption = R"(    if [[ $cur == "=" ]]; then
        option=$before cur=
    elif [[ $before == "=" ]]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    elif [[ $cur == -*=* || ( $before == -o && $cur == *=* ) ]]; then
        option=${cur%=*} prefix=$option= cur=${cur##*=}
    elif [[ $before == -? || $before == --?* ]]; then
        option=$before apart=yes
    fi
    option=${option##*,}
    # The value has ended, and the list goes on.
    [[ -n $option && $option != -* && $cur == *,* ]] && option=-o
    [[ $option == -o && $cur == *,* ]] && prefix+=${cur%,*}, cur=${cur##*,}
    case $command:${option#--} in
)";

constexpr std::string_view kBashEnd = R"(    if [[ -n $words ]]; then
        COMPREPLY=($(compgen -P "$prefix" -W "$words" -- "$cur"))
        [[ -n $list || ( ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ) ]] && compopt -o nospace
    else
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}
complete -F _PROGRAM PROGRAM
)";

}  // namespace

std::string BashCompletions(const Command& program) {
  std::string text(kBashStart);
  const std::string names = fmt::format("{}", fmt::join(CommandNames(program), " | "));
  if (!program.commands.empty()) {
    text += fmt::format(
        "    for ((i = 1; i < COMP_CWORD; ++i)); do\n"
        "        case ${{COMP_WORDS[i]}} in\n"
        "            {}) command=${{COMP_WORDS[i]}} && break ;;\n"
        "        esac\n"
        "    done\n",
        names);
  }
  text += kBashOption;
  std::string options;
  const auto add = [&](const std::string& name, const Command& command) {
    for (const auto& option : command.options) text += BashValue(name, option);
    options += fmt::format("            {}) words={} ;;\n", name.empty() ? "''" : name,
                           Quoted(fmt::format("{}", fmt::join(OptionWords(command), " "))));
  };
  add("", program);
  for (const auto& command : program.commands) add(command.name, command);
  text += fmt::format(
      "    esac\n"
      "    if [[ -z $words && $cur == -* ]]; then\n"
      "        case $command in\n"
      "{}"
      "        esac\n",
      options);
  if (!program.commands.empty()) {
    text += fmt::format("    elif [[ -z $words && -z $command ]]; then\n        words={}\n",
                        Quoted(fmt::format("{}", fmt::join(CommandNames(program), " "))));
  }
  text += "    fi\n";
  text += kBashEnd;
  return Replaced(text, "PROGRAM", program.name);
}

// --- zsh -----------------------------------------------------------------------------------------

namespace {

// `text` with a backslash before each of these characters, which zsh's _arguments takes for
// special.
std::string Escaped(const std::string& text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string ZshHelp(const std::string& help) { return "[" + Escaped(help, "[]:\\") + "]"; }

// What follows the name of an option: ":WHAT:HOW".
std::string ZshValue(const CommandOption& option) {
  if (option.value.empty()) return "";
  std::string how = " ";
  if (!option.list.empty()) {
    how = fmt::format("->list_{}", option.letter);
  } else if (const auto choices = Choices(option.value); !choices.empty()) {
    how = fmt::format("({})", fmt::join(choices, " "));
  } else if (IsUser(option)) {
    how = "_users";
  } else if (IsPath(option)) {
    how = "_files";
  }
  return fmt::format("{}:{}:{}", option.value_is_optional ? ":" : "", Escaped(option.value, ":\\"),
                     how);
}

// The specifications of its options, one a line.
std::string ZshOptions(const Command& command, const std::string& indent) {
  std::string text;
  for (const auto& option : command.options) {
    const std::string help = ZshHelp(option.help) + ZshValue(option);
    const std::string same = option.letter != 0 && !option.name.empty()
                                 ? fmt::format("(-{} --{})", option.letter, option.name)
                                 : "";
    const auto add = [&](const std::string& spec) {
      const auto front = option.list.empty() ? same : "*";
      text += fmt::format("{}{} \\\n", indent, Quoted(fmt::format("{}{}{}", front, spec, help)));
    };
    if (option.letter != 0) {
      add(fmt::format("-{}{}", option.letter, option.value.empty() ? "" : "+"));
    }
    if (option.name.empty()) continue;
    add(fmt::format("--{}{}", option.name,
                    option.value.empty()       ? ""
                    : option.value_is_optional ? "=-"
                                               : "="));
  }
  return text;
}

// What is in a list that an option takes.
std::string ZshLists(const Command& command) {
  std::string text;
  for (const auto& option : command.options) {
    if (option.list.empty()) continue;
    text += fmt::format("    list_{}) _values -s , {}", option.letter, Quoted("option"));
    for (const auto& [word, help] : option.list) {
      const bool has_value = word.ends_with('=');
      const auto name = has_value ? word.substr(0, word.size() - 1) : word;
      text += fmt::format(" \\\n        {}",
                          Quoted(name + ZshHelp(help) + (has_value ? ":value: " : "")));
    }
    text += " ;;\n";
  }
  return text;
}

}  // namespace

std::string ZshCompletions(const Command& program) {
  std::string text = fmt::format(
      "#compdef {}\n"
      "# Completions of {} in zsh. Made from its options when it was built.\n"
      "local context state state_descr line\n"
      "typeset -A opt_args\n"
      "_arguments -C -s -S \\\n",
      program.name, program.name);
  text += ZshOptions(program, "    ");
  std::string states = ZshLists(program);
  if (program.commands.empty()) {
    text += "    '*:path:_files'\n";
  } else {
    text += "    '1: :->command' \\\n    '*:: :->arguments'\n";
    states += "    command) local -a commands=(";
    for (const auto& command : program.commands) {
      states += fmt::format("\n        {}", Quoted(command.name + ":" + command.help));
    }
    states += ")\n        _describe command commands ;;\n    arguments) case $words[1] in\n";
    for (const auto& command : program.commands) {
      states += fmt::format("        {}) _arguments -s -S \\\n{}            '*:path:_files' ;;\n",
                            command.name, ZshOptions(command, "            "));
    }
    states += "    esac ;;\n";
  }
  return text + "case $state in\n" + states + "esac\n";
}

// --- fish ----------------------------------------------------------------------------------------

namespace {

std::string FishOption(const std::string& start, const CommandOption& option) {
  std::string line = start;
  if (option.letter != 0) line += fmt::format(" -s {}", option.letter);
  if (!option.name.empty()) line += fmt::format(" -l {}", option.name);
  if (!option.value.empty() && !option.value_is_optional) line += IsPath(option) ? " -r" : " -x";
  if (!option.list.empty()) {
    line +=
        " -a " + FishQuoted(fmt::format("(__fish_append , {})", fmt::join(ListWords(option), " ")));
  } else if (const auto choices = Choices(option.value); !choices.empty()) {
    line += " -a " + FishQuoted(fmt::format("{}", fmt::join(choices, " ")));
  } else if (IsUser(option)) {
    line += " -a '(__fish_complete_users)'";
  }
  return line + " -d " + FishQuoted(option.help) + "\n";
}

}  // namespace

std::string FishCompletions(const Command& program) {
  std::string text = fmt::format(
      "# Completions of {} in fish. Made from its options when it was built.\n", program.name);
  const std::string start = "complete -c " + program.name;
  const std::string first = program.commands.empty() ? "" : " -n __fish_use_subcommand";
  for (const auto& option : program.options) text += FishOption(start + first, option);
  for (const auto& command : program.commands) {
    text +=
        fmt::format("{}{} -f -a {} -d {}\n", start, first, command.name, FishQuoted(command.help));
    const std::string inside =
        fmt::format("{} -n '__fish_seen_subcommand_from {}'", start, command.name);
    for (const auto& option : command.options) text += FishOption(inside, option);
  }
  return text;
}

}  // namespace skopsfs::cli
