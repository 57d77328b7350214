#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <new>

#include "ctl/app.h"

int main(int argc, char** argv) {
  try {
    return skopsfs::ctl::Run({argv + (argc > 0 ? 1 : 0), argv + argc});
  } catch (const std::bad_alloc&) {
    std::fputs("skopsfsctl: there is not enough memory\n", stderr);
  } catch (const std::exception& error) {
    fmt::print(stderr, "skopsfsctl: {}\n", error.what());
  }
  return skopsfs::ctl::kExitNotDone;
}
