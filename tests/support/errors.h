#pragma once

#include <string>
#include <utility>

#include "util/error.h"

namespace skopsfs::testing {

// The errno of the util::Error that `action` throws; 0 when it throws none.
template <typename Action>
int ErrnoOf(Action&& action) {
  try {
    std::forward<Action>(action)();
  } catch (const util::Error& error) {
    return error.code();
  }
  return 0;
}

// "<errno>: <message>" of that error, so that a test can tell failures of one errno apart; empty
// when there was none.
template <typename Action>
std::string FailureOf(Action&& action) {
  try {
    std::forward<Action>(action)();
  } catch (const util::Error& error) {
    return std::to_string(error.code()) + ": " + error.what();
  }
  return "";
}

}  // namespace skopsfs::testing
