#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ctl/check.h"
#include "ctl/status.h"

namespace CLI {
class App;
}

// The program skopsfsctl. Results go to standard output, messages and progress to standard
// error.
namespace skopsfs::ctl {

inline constexpr int kExitGood = 0;
inline constexpr int kExitWrong = 1;    // an archive is wrong; for status: a mount does not answer
inline constexpr int kExitNotDone = 2;  // usage, no such file, no permission

// What a command line asks for.
struct Request {
  CheckOptions check = {};
  CheckOptions warm = {};
  StatusOptions status = {};
  std::string watch = {};  // as given
  std::string tree = {};   // an archive
  bool tree_json = false;
};

// The subcommands and their options. They are parsed into `request`, which must live longer.
std::unique_ptr<CLI::App> MakeApp(Request& request);

// Does what the arguments say, without the program's name. Returns the exit code.
int Run(const std::vector<std::string>& arguments);

}  // namespace skopsfs::ctl
