#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "handover/supervisor_state.h"
#include "util/error.h"

// Any facts: they are refused with util::Error, or they are a state, which is the same when it is
// written again.

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using skopsfs::handover::SupervisorState;
  const std::string_view facts(reinterpret_cast<const char*>(data), size);
  try {
    const auto state = SupervisorState::FromFacts(facts);
    if (SupervisorState::FromFacts(state.Facts()) != state) std::abort();
    SupervisorState::FromExecuted(facts);
  } catch (const skopsfs::util::Error&) {
    // The reason why not.
  }
  return 0;
}
