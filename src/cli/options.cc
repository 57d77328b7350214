#include "cli/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "metrics/http_server.h"
#include "util/number.h"

namespace skopsfs::cli {
namespace {

using Apply = void (*)(Options&, std::string_view value);

template <typename Number>
Number ParseAmount(std::string_view option, std::string_view unit, Number most,
                   std::string_view text) {
  const auto amount = util::ParseNumber<Number>(text);
  if (!amount || !(*amount >= Number()) || *amount > most) {
    throw UsageError(fmt::format("--{} needs {} from 0 to {}, not '{}'", option, unit, most, text));
  }
  return *amount;
}

constexpr double kDay = 86400;  // seconds

// Whether it is the second of two.
bool ParseChoice(std::string_view option, std::string_view value, std::string_view first,
                 std::string_view second) {
  if (value != first && value != second) {
    throw UsageError(fmt::format("--{} is {} or {}, not '{}'", option, first, second, value));
  }
  return value == second;
}

void AddMountOptions(Options& options, std::string_view list);

// An option of the command line. Those with a long name can be given as -o NAME[=VALUE] too.
struct Option {
  char letter;            // 0: none
  std::string_view name;  // long name; empty: none
  std::string_view value;
  std::string_view help;
  Apply apply;
};

constexpr std::array<Option, 17> kOptions = {{
    {'f', "foreground", "", "stay in front and log to stderr",
     [](Options& o, std::string_view) { o.foreground = true; }},
    {'o', "", "OPT[,OPT...]", "mount options, see below", AddMountOptions},
    {0, "revalidate", "SECONDS", "look at the names of archives again after this time (1)",
     [](Options& o, std::string_view value) {
       o.revalidate = ParseAmount("revalidate", "seconds", kDay, value);
     }},
    {0, "verify", "passing|read",
     "compare a member's CRC-32 as it goes by, or before a byte is read",
     [](Options& o, std::string_view value) {
       o.verify_word_is_old = value == "open";
       o.proves_first = o.verify_word_is_old || ParseChoice("verify", value, "passing", "read");
     }},
    {0, "decoder-memory", "MIB", "memory for decoding compressed members (128)",
     [](Options& o, std::string_view value) {
       constexpr unsigned kMost = 2048;  // of the worker's 4 GiB
       o.decoder_memory = ParseAmount("decoder-memory", "MiB", kMost, value);
     }},
    {0, "readahead", "KIB", "how far to read ahead (as on the source's disk, 512 at least)",
     [](Options& o, std::string_view value) {
       constexpr unsigned kMost = 65536;
       o.read_ahead = ParseAmount("readahead", "KiB", kMost, value);
     }},
    {0, "cache", "drop|keep", "whether pages of an archive go when its members have them (drop)",
     [](Options& o, std::string_view value) {
       o.keep_archives = ParseChoice("cache", value, "drop", "keep");
     }},
    {0, "noby-name", "", "no directory by-name, which shows members by the names of the model",
     [](Options& o, std::string_view) { o.by_name = false; }},
    {0, "others", "show|hide", "whether files beside the archives are shown, as they are (show)",
     [](Options& o, std::string_view value) {
       o.shows_others = ParseChoice("others", value, "hide", "show");
     }},
    {0, "user", "USER[:GROUP]", "serve as this user when started as root (the source's owner)",
     [](Options& o, std::string_view value) {
       if (value.empty()) throw UsageError("--user needs a name or a number");
       o.user = value;
     }},
    {0, "sandbox", "on|off", "whether the serving process gives up its powers (on)",
     [](Options& o, std::string_view value) {
       o.sandbox = ParseChoice("sandbox", value, "off", "on");
     }},
    {0, "worker-timeout", "SECONDS", "replace the worker when a request gets stuck (0: never)",
     [](Options& o, std::string_view value) {
       o.worker_timeout = ParseAmount("worker-timeout", "seconds", kDay, value);
       // What takes less is not stuck, and whose worker is replaced too often is quarantined.
       if (o.worker_timeout > 0 && o.worker_timeout < 1) {
         throw UsageError("--worker-timeout needs 0, or at least a second");
       }
     }},
    {0, "metrics-address", "[HOST:]PORT", "serve metrics over HTTP (HOST: 127.0.0.1)",
     [](Options& o, std::string_view value) {
       try {
         metrics::ParseAddress(value);
       } catch (const std::invalid_argument& error) {
         throw UsageError(fmt::format("--metrics-address: {}", error.what()));
       }
       o.metrics_address = value;
     }},
    {0, "handover", "PATH", "take the mount over from who listens at this socket, then listen",
     [](Options& o, std::string_view value) {
       if (value.empty()) throw UsageError("--handover needs the path of a socket");
       o.handover = value;
     }},
    {'d', "debug", "", "print every request; implies -f",
     [](Options& o, std::string_view) { o.debug = o.foreground = true; }},
    {'h', "help", "", "print this help", [](Options& o, std::string_view) { o.help = true; }},
    {'V', "version", "", "print the version",
     [](Options& o, std::string_view) { o.version = true; }},
}};

enum class Effect { kHandOn, kNonempty, kReadOnly };

// A -o option that is no option of ours, and that does something.
struct MountOption {
  std::string_view name;  // ends in '=' when it takes a value
  Effect effect;
  std::string_view help;  // empty: accepted from fstab and mount(8), not worth a line
};

constexpr std::array<MountOption, 9> kMountOptions = {{
    {"allow_other", Effect::kHandOn, "other users may use the mount"},
    {"allow_root", Effect::kHandOn, "root may use the mount"},
    {"auto_unmount", Effect::kHandOn, "unmount even when the process is killed"},
    {"fsname=", Effect::kHandOn, "the source's name in mount and df"},
    {"nonempty", Effect::kNonempty, "hide what the mountpoint holds, rather than refuse it"},
    {"noexec", Effect::kHandOn, "nothing on the mount can be run"},
    {"noatime", Effect::kHandOn, ""},
    {"context=", Effect::kHandOn, ""},
    {"ro", Effect::kReadOnly, "(of /dev/fd/N) it was mounted so: no file is opened with a message"},
}};

// What is so anyway, or concerns only mount(8).
constexpr std::array<std::string_view, 31> kIgnored = {
    "rw",          "nosuid",        "nodev",
    "suid",        "dev",           "exec",
    "atime",       "relatime",      "default_permissions",
    "defaults",    "auto",          "noauto",
    "nofail",      "_netdev",       "user",
    "users",       "nouser",        "owner",
    "noowner",     "group",         "nogroup",
    "comment=",    "async",         "sync",
    "diratime",    "nodiratime",    "norelatime",
    "strictatime", "nostrictatime", "lazytime",
    "nolazytime"};

template <typename Value>
const Option* Find(Value Option::*name, std::type_identity_t<Value> value) {
  const auto found = std::ranges::find(kOptions, value, name);
  return found != kOptions.end() && value != Value() ? &*found : nullptr;
}

// "name" or "name=value" of an option of ours; false when there is none of that name.
bool ApplyNamed(Options& options, std::string_view text) {
  const size_t equals = text.find('=');
  const auto* option = Find(&Option::name, text.substr(0, equals));
  if (option == nullptr) return false;
  const bool has_value = equals != std::string_view::npos;
  if (has_value == option->value.empty()) {
    throw UsageError(has_value ? fmt::format("option '{}' takes no value", option->name)
                               : fmt::format("option '{}' needs a value: {}={}", option->name,
                                             option->name, option->value));
  }
  option->apply(options, has_value ? text.substr(equals + 1) : std::string_view());
  return true;
}

void AddMountOption(Options& options, std::string_view text) {
  if (text.starts_with("x-") || text.starts_with("X-")) return;  // for mount(8) and systemd
  const auto is_it = [&](std::string_view known) {
    const bool matches = known.ends_with('=') ? text.starts_with(known) : text == known;
    if (!matches || !text.ends_with('=')) return matches;
    throw UsageError(fmt::format("mount option '{}' needs a value", text));
  };
  if (std::ranges::any_of(kIgnored, is_it)) return;
  for (const auto& [name, effect, help] : kMountOptions) {
    if (!is_it(name)) continue;
    if (effect == Effect::kHandOn) options.mount_options.emplace_back(text);
    if (effect == Effect::kNonempty) options.nonempty = true;
    if (effect == Effect::kReadOnly) options.passed_is_read_only = true;
    return;
  }
  if (!ApplyNamed(options, text)) {
    throw UsageError(fmt::format("unknown mount option '{}'", text));
  }
}

void AddMountOptions(Options& options, std::string_view list) {
  while (!list.empty()) {
    const auto text = list.substr(0, list.find(','));
    if (!text.empty()) AddMountOption(options, text);
    list.remove_prefix(std::min(list.size(), text.size() + 1));
  }
}

void AddPath(Options& options, std::string_view path) {
  if (path.empty()) throw UsageError("a path is empty");
  if (options.source.empty()) {
    options.source = path;
  } else if (options.mountpoint.empty()) {
    options.mountpoint = path;
  } else {
    throw UsageError(fmt::format("unexpected argument '{}'", path));
  }
}

// "-f, --foreground", as wide as the widest of all rows.
std::string NamesOf(const Option& option) {
  const std::string letter = option.letter == 0 ? "   " : fmt::format("-{}", option.letter);
  if (option.name.empty()) return fmt::format("{} {}", letter, option.value);
  return fmt::format("{} --{}{}{}", option.letter == 0 ? letter : letter + ",", option.name,
                     option.value.empty() ? "" : "=", option.value);
}

// A row of the usage: names, and what they mean, which goes on below itself.
std::string Row(std::string_view names, std::string_view help) {
  constexpr size_t kNames = 33;  // columns, for the longest
  constexpr size_t kHelp = 80 - kNames - 4;
  std::string row;
  while (!help.empty()) {
    size_t end = help.size();
    if (end > kHelp) end = help.rfind(' ', kHelp);
    row += fmt::format("  {:<{}}  {}\n", row.empty() ? names : "", kNames, help.substr(0, end));
    help.remove_prefix(std::min(help.size(), end + 1));
  }
  return row;
}

}  // namespace

Options ParseOptions(std::span<const char* const> arguments) {
  Options options;
  bool only_paths = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (only_paths || argument.size() < 2 || argument[0] != '-') {
      AddPath(options, argument);
      continue;
    }
    options.given.emplace_back(argument);
    if (argument == "--") {
      only_paths = true;
    } else if (argument[1] == '-') {
      std::string text(argument.substr(2));
      const auto* option = Find(&Option::name, text);
      if (option != nullptr && !option->value.empty() && i + 1 < arguments.size()) {
        text += "=" + std::string(arguments[++i]);
        options.given.back() = "--" + text;
      }
      if (!ApplyNamed(options, text)) {
        throw UsageError(fmt::format("unknown option '{}'", argument));
      }
    } else {
      const auto* option = Find(&Option::letter, argument[1]);
      if (option == nullptr || (option->value.empty() && argument.size() > 2)) {
        throw UsageError(fmt::format("unknown option '{}'", argument));
      }
      std::string_view value = argument.substr(2);
      if (!option->value.empty() && value.empty()) {
        if (i + 1 == arguments.size()) {
          throw UsageError(fmt::format("option '{}' needs a value", argument));
        }
        value = arguments[++i];
        options.given.emplace_back(value);
      }
      option->apply(options, value);
    }
  }
  if (options.help || options.version) return options;
  if (options.source.empty() || options.mountpoint.empty()) {
    throw UsageError("SOURCE and MOUNTPOINT are needed");
  }
  if (!options.handover.empty() &&
      std::ranges::find(options.mount_options, "auto_unmount") != options.mount_options.end()) {
    throw UsageError(
        "with auto_unmount the mount ends with its process, which excludes --handover");
  }
  return options;
}

std::string Usage() {
  std::string text =
      "usage: skopsfs [options] SOURCE MOUNTPOINT\n\n"
      "Mounts SOURCE, a folder of .skops archives or one archive, at MOUNTPOINT, an\n"
      "empty folder: each archive is a read-only directory of its members. Unmount with\n"
      "fusermount3 -u MOUNTPOINT. Everything else: man skopsfs.\n\n"
      "example:\n"
      "  skopsfs -o allow_other --revalidate=5 /models /mnt/skops\n\n"
      "options:\n";
  for (const auto& option : kOptions) text += Row(NamesOf(option), option.help);
  text += "\nmount options (-o):\n";
  for (const auto& option : kMountOptions) text += Row(option.name, option.help);
  return text + Row("NAME, NAME=VALUE", "an option above, as --NAME or --NAME=VALUE");
}

}  // namespace skopsfs::cli
