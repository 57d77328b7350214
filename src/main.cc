#include <exception>

#include "cli/run.h"
#include "util/log.h"

int main(int argc, char** argv) {
  try {
    return skopsfs::cli::Run({argv + 1, static_cast<size_t>(argc > 0 ? argc - 1 : 0)});
  } catch (const std::exception& error) {
    skopsfs::util::LogError("{}", error.what());
    return skopsfs::cli::kExitFailure;
  }
}
