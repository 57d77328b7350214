#pragma once

#include <exception>
#include <optional>

#include "util/effort.h"

namespace skopsfs::testing {

// What `call` asks of a thread beyond `most`; nothing when it has been run, or has failed.
template <typename Call>
std::optional<util::Effort> EffortOf(const Call& call, util::Effort most = util::Effort::kLittle) {
  const util::EffortLimit limit(most);
  try {
    call();
  } catch (const util::TooMuchEffort& effort) {
    return effort.effort;
  } catch (const std::exception&) {
    return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace skopsfs::testing
